import type { NativeText } from "../../core/backend/contract.ts";
import type { DesiredState } from "../../core/plan/plan.ts";
import { countEndpoints, plansOf } from "./desired.ts";
import { contextFor } from "./host.ts";
import { dropsInvalidPackets } from "./host_settings.ts";
import { restoreText } from "./rules/text.ts";

/** Renders the state as input of iptables-restore and ip6tables-restore. */
export function nativeTexts(desired: DesiredState): readonly NativeText[] {
  // Rules that count need counters, which no text of iptables makes.
  const host = { nfacct: false, dropsInvalid: dropsInvalidPackets() };
  return desired.settings.map((settings) => {
    const context = contextFor(host, countEndpoints(desired.plans.values(), settings));
    const command = settings.family === "IPv4" ? "iptables-restore" : "ip6tables-restore";
    return {
      command: `${command} --noflush`,
      text: restoreText(settings, plansOf(desired, settings), context),
    };
  });
}
