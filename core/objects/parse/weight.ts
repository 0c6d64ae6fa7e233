import { type Mapping, show } from "./fields.ts";
import type { Report } from "./kind_parser.ts";
import { annotation } from "./metadata.ts";

/** Of Services and EndpointSlices: docs/ipvs.md, "Weights". */
const WEIGHT_ANNOTATION = "proxy/weight";
/** As much as `ipvsadm --weight` takes. */
const MOST = 65_535;

/**
 * The weight that an annotation of the object gives its endpoints; undefined when there is none, or none that can be
 * used.
 */
export function weightOf(raw: Mapping, report: Report): number | undefined {
  const written = annotation(raw, WEIGHT_ANNOTATION) ?? undefined;
  if (written === undefined) return undefined;
  if (typeof written === "string" && /^\d{1,5}$/.test(written) && Number(written) <= MOST) {
    return Number(written);
  }
  report(
    `metadata.annotations["${WEIGHT_ANNOTATION}"]`,
    `${show(written)} is not a weight ("0" to "${MOST}", in quotes); skipped`,
  );
  return undefined;
}
