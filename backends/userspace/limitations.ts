import type { Limitation } from "../../core/plan/limitation.ts";
import { describeFrontend, type ServicePortPlan } from "../../core/plan/plan.ts";

/** Frontends that a message lists. */
const MAX_LISTED = 4;

/** Returns the parts of a plan that this mode does not serve: all of SCTP. */
export function limitationsOf({ protocol, frontends }: ServicePortPlan): readonly Limitation[] {
  if (protocol !== "SCTP") return [];
  const listed = frontends.slice(0, MAX_LISTED).map((frontend) => describeFrontend(frontend, protocol));
  const more = frontends.length > MAX_LISTED ? `, and ${frontends.length - MAX_LISTED} more` : "";
  return [{
    cause: "sctp-not-relayed",
    text: `mode userspace rejects SCTP connections to ${
      listed.join(", ")
    }${more}, because it relays TCP and UDP only`,
    advice: "Use mode nftables or iptables for services with SCTP",
  }];
}
