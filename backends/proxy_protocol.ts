import type { Limitation } from "../core/plan/limitation.ts";
import type { ServicePortPlan } from "../core/plan/plan.ts";

/**
 * Returns the limitation of a mode whose connections do not end at this process, so that it cannot send a header of the
 * PROXY protocol.
 */
export function proxyProtocolLimitations(
  { proxyProtocol }: Pick<ServicePortPlan, "proxyProtocol">,
): readonly Limitation[] {
  if (proxyProtocol !== true) return [];
  return [{
    cause: "no-proxy-protocol",
    text:
      "its endpoints get no PROXY protocol header (annotation proxy/proxy-protocol), because connections do not end " +
      "at the proxy in this mode",
    advice:
      "Have the endpoints accept connections without the header and remove the annotation, or use mode userspace",
  }];
}
