import type { PlanChange } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import { relayedServiceOf } from "./relayed_service.ts";
import type { RelayedService } from "./relay/messages.ts";

/** The steps of an update of the relay, around that of the rules. */
export interface RelayUpdate {
  /** Services to tell the relay of before rules lead to their frontends. */
  readonly added: readonly RelayedService[];
  /** Services to remove once no rule leads to them. */
  readonly removed: readonly PlanKey[];
}

/** Returns the changes of the relay that changes of plans make. */
export function relayUpdateOf(changes: readonly PlanChange[]): RelayUpdate {
  const added: RelayedService[] = [];
  const removed: PlanKey[] = [];
  for (const { key, old, new: next } of changes) {
    const service = next && relayedServiceOf(next);
    if (service !== undefined) added.push(service);
    else if (old !== undefined && relayedServiceOf(old) !== undefined) removed.push(key);
  }
  return { added, removed };
}
