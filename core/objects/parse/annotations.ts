import { type Balancing, BALANCINGS } from "../objects.ts";
import { type Mapping, show } from "./fields.ts";
import { annotation, type Report } from "./kind.ts";

/** Annotations of this proxy. A value that cannot be used is reported and skipped. */

/** On Services and EndpointSlices: docs/ipvs.md, "Weights". */
const WEIGHT_ANNOTATION = "proxy/weight";
/** The maximum of `ipvsadm --weight`. */
const MAX_WEIGHT = 65_535;

/** On Services: docs/ebpf.md, "Choice of an endpoint". */
const BALANCING_ANNOTATION = "proxy/balancing";

/** On Services: docs/userspace.md, "PROXY protocol". */
const PROXY_PROTOCOL_ANNOTATION = "proxy/proxy-protocol";

/** The weight that the object's annotation gives its endpoints; undefined without a usable annotation. */
export function weightOf(raw: Mapping, report: Report): number | undefined {
  const written = annotation(raw, WEIGHT_ANNOTATION) ?? undefined;
  if (written === undefined) return undefined;
  if (typeof written === "string" && /^\d{1,5}$/.test(written) && Number(written) <= MAX_WEIGHT) {
    return Number(written);
  }
  report(
    `metadata.annotations["${WEIGHT_ANNOTATION}"]`,
    `${show(written)} is not a weight ("0" to "${MAX_WEIGHT}", in quotes); skipped`,
  );
  return undefined;
}

/** How the object's annotation has the service balanced; undefined without a usable annotation. */
export function balancingOf(raw: Mapping, report: Report): Balancing | undefined {
  const written = annotation(raw, BALANCING_ANNOTATION) ?? undefined;
  const known = BALANCINGS.find((balancing) => balancing === written);
  if (written !== undefined && known === undefined) {
    report(
      `metadata.annotations["${BALANCING_ANNOTATION}"]`,
      `${show(written)} is neither "random" nor "maglev"; skipped`,
    );
  }
  return known;
}

/** Reports whether the object's annotation asks for a PROXY protocol header of version 2, the only one supported. */
export function wantsProxyProtocol(raw: Mapping, report: Report): boolean {
  const written = annotation(raw, PROXY_PROTOCOL_ANNOTATION) ?? undefined;
  if (written !== undefined && written !== "v2") {
    report(`metadata.annotations["${PROXY_PROTOCOL_ANNOTATION}"]`, `${show(written)} is not "v2"; skipped`);
  }
  return written === "v2";
}
