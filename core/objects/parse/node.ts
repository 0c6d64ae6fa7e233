import { type Address, type Cidr, familyOf, parseAddress, parseCidr } from "../../net/address.ts";
import { list, type Mapping, mappings, section, show, text, texts } from "./fields.ts";
import { readTopologyName } from "./names.ts";
import type { Node, ObjectRef } from "../objects.ts";
import { labels, type Report } from "./kind.ts";

/** Parses a v1 Node: docs/behaviour.md §1.5, and §7.1 for `eligible`. */
export function parseNode(raw: Mapping, ref: ObjectRef, report: Report): Node {
  return {
    kind: "Node",
    name: ref.name,
    zone: labels(raw, (all) => readTopologyName(all, ZONE_LABEL)),
    addresses: readAddresses(raw, report),
    podCidrs: section(raw, "spec", (spec) => readPodCidrs(spec, report)),
    eligible: !isBeingDeleted(raw) && !section(raw, "spec", isToBeDeleted),
  };
}

const ZONE_LABEL = "topology.kubernetes.io/zone";
const CLUSTER_AUTOSCALER_TAINT = "ToBeDeletedByClusterAutoscaler";

/**
 * One address per family. Internal addresses come before external ones. The first makes its family the
 * primary one.
 */
function readAddresses(raw: Mapping, report: Report): readonly Address[] {
  const internal: Address[] = [];
  const external: Address[] = [];
  section(raw, "status", (status) =>
    mappings(status, "addresses", (entry, index) => {
      const type = text(entry, "type");
      if (type !== "InternalIP" && type !== "ExternalIP") return;
      const written = text(entry, "address");
      const address = parseAddress(written);
      if (address === undefined) {
        report(`status.addresses[${index}].address`, `${show(written)} is not an IP address; skipped`);
      } else {
        (type === "InternalIP" ? internal : external).push(address);
      }
    }));
  const [first, ...others] = [...internal, ...external];
  if (first === undefined) return [];
  const second = others.find((other) => familyOf(other) !== familyOf(first));
  return second === undefined ? [first] : [first, second];
}

/**
 * Reads spec.podCIDRs. The API server fills it from spec.podCIDR when it is missing, and so does this
 * function.
 */
function readPodCidrs(spec: Mapping, report: Report): readonly Cidr[] {
  const single = text(spec, "podCIDR");
  const written = list(spec, "podCIDRs").length === 0 && single !== "" ? { podCIDRs: [single] } : spec;
  return texts(written, "podCIDRs", (cidr, index) => {
    const parsed = parseCidr(cidr);
    if (parsed === undefined) report(`spec.podCIDRs[${index}]`, `${show(cidr)} is not a CIDR; skipped`);
    return parsed;
  });
}

function isBeingDeleted(raw: Mapping): boolean {
  return section(raw, "metadata", (metadata) => text(metadata, "deletionTimestamp") !== "");
}

function isToBeDeleted(spec: Mapping): boolean {
  const keys = mappings(spec, "taints", (taint) => text(taint, "key"));
  return keys.includes(CLUSTER_AUTOSCALER_TAINT);
}
