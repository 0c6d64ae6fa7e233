import { type Mapping, show } from "./fields.ts";
import type { Report } from "./kind_parser.ts";
import { type Balancing, balancings } from "../objects.ts";
import { annotation } from "./metadata.ts";

/** Of Services: docs/ebpf.md, "Choice of an endpoint". */
const BALANCING_ANNOTATION = "proxy/balancing";

/** How an annotation has a service balanced; undefined when there is none, or none that can be used. */
export function balancingOf(raw: Mapping, report: Report): Balancing | undefined {
  const written = annotation(raw, BALANCING_ANNOTATION) ?? undefined;
  const known = balancings.find((balancing) => balancing === written);
  if (written !== undefined && known === undefined) {
    report(
      `metadata.annotations["${BALANCING_ANNOTATION}"]`,
      `${show(written)} is neither "random" nor "maglev"; skipped`,
    );
  }
  return known;
}
