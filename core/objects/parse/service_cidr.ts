import { parseCidr } from "../../net/address.ts";
import { type Mapping, section, show, texts } from "./fields.ts";
import type { ObjectRef, ServiceCidr } from "../objects.ts";
import type { Report } from "./kind.ts";

/** Parses a networking.k8s.io ServiceCIDR: docs/behaviour.md §1.6. */
export function parseServiceCidr(raw: Mapping, ref: ObjectRef, report: Report): ServiceCidr {
  const cidrs = section(raw, "spec", (spec) =>
    texts(spec, "cidrs", (written, index) => {
      const cidr = parseCidr(written);
      if (cidr === undefined) report(`spec.cidrs[${index}]`, `${show(written)} is not a CIDR; skipped`);
      return cidr;
    }));
  return { kind: "ServiceCIDR", name: ref.name, cidrs };
}
