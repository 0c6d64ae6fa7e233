import { FAMILIES } from "../../../core/net/protocol.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import { addressOf, cidrOf, settingsOf } from "../../backends/plans.ts";
import { machines, podCidrs } from "../../lab/topology.ts";

/** Settings of the lab's node "here" in both families: its address, and its pods by their addresses. */
export function labSettings(changes: Partial<NodeSettings> = {}): readonly NodeSettings[] {
  return FAMILIES.map((family) =>
    settingsOf(family, {
      interfaceAddresses: [addressOf(machines.node.addresses[family])],
      localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
      ...changes,
    })
  );
}
