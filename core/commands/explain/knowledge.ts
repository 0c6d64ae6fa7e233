import { eachInTurns } from "../../async/turns.ts";
import type { ModeTraits } from "../../backend/mode.ts";
import type { Knowledge } from "../../explain/knowledge.ts";
import { FrontendIndex } from "../../explain/trace/frontend_lookup.ts";
import { type TracedNode, tracedNode } from "../../explain/trace/trace.ts";
import type { Address } from "../../net/address.ts";
import { withoutName } from "../../objects/parse/index.ts";
import { serviceName } from "../../objects/store.ts";
import type { InvalidObjects } from "../../observe/status/invalid_objects.ts";
import type { KnownServices } from "../../observe/status/services.ts";
import type { PlanKey, ServicePortPlan } from "../../plan/plan.ts";
import type { Cluster } from "../cluster/read_cluster.ts";

/** Turns what the source has into the state that explanations are made from. */
export function knowledgeOf(
  { store, view, desired, addresses, warnings, unused }: Cluster,
  { limitationsOf = () => [], relays }: Pick<ModeTraits, "limitationsOf" | "relays">,
): Knowledge {
  const conflicts = new Map<string, string[]>();
  for (const warning of warnings) {
    const service = serviceName(warning);
    conflicts.set(service, [...conflicts.get(service) ?? [], warning.note]);
  }
  const notForUs = new Map<string, string>();
  const invalid = new Map<string, string>();
  for (const { ref, why, isInvalid } of unused) {
    if (ref.kind === "Service") (isInvalid ? invalid : notForUs).set(serviceName(ref), withoutName(ref, why));
  }
  return {
    store,
    context: view.context,
    traced: tracedNode(desired, addresses, relays),
    podCidrs: store.node?.podCidrs ?? [],
    unused: notForUs,
    invalidReasonOf: (service) => invalid.get(service),
    limitationsOf,
    conflictsOf: (service) => conflicts.get(service) ?? [],
  };
}

/** The plans in force at one moment, and what finds their frontends and endpoints. */
export type IndexedPlans = Pick<TracedNode, "plans" | "index">;

/** Indexes the plans in force, in turns. */
export async function indexInForce({ applied }: Pick<KnownServices, "applied">): Promise<IndexedPlans> {
  const plans = new Map<PlanKey, ServicePortPlan>();
  await eachInTurns(applied, ([key, plan]) => plans.set(key, plan));
  const index = new FrontendIndex();
  await index.addInTurns(plans.values());
  return { plans, index };
}

/**
 * Turns what the running process knows into the state that explanations are made from.
 * @param addresses of the interfaces.
 */
export function liveKnowledge(
  services: KnownServices,
  { plans, index }: IndexedPlans,
  addresses: readonly Address[],
  { limitationsOf = () => [], relays }: Pick<ModeTraits, "limitationsOf" | "relays">,
  invalidObjects: Pick<InvalidObjects, "reasonOf">,
): Knowledge {
  const { store, view } = services;
  return {
    store,
    context: view.context,
    traced: { settings: view.settings, plans, addresses, index, relays },
    podCidrs: store.node?.podCidrs ?? [],
    unused: undefined,
    invalidReasonOf(service) {
      const [namespace = "", name = ""] = service.split("/");
      return invalidObjects.reasonOf({ kind: "Service", namespace, name });
    },
    limitationsOf,
    conflictsOf: (service) => {
      const count = services.conflictsOf(service);
      return count === 0 ? [] : [`${count} of its frontends belong to other services; the log names them`];
    },
  };
}
