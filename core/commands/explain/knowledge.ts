import type { Knowledge, UnusedService } from "../../explain/knowledge.ts";
import { serviceName } from "../../objects/store.ts";
import type { Cluster } from "../read_cluster.ts";

/** Turns what the source has into the state that explanations are made from. */
export function knowledgeOf({ store, view, desired, addresses, warnings, unused }: Cluster): Knowledge {
  const conflicts = new Map<string, string[]>();
  for (const warning of warnings) {
    const service = serviceName(warning);
    conflicts.set(service, [...conflicts.get(service) ?? [], warning.note]);
  }
  const unusedServices = new Map<string, UnusedService>();
  for (const { ref, why, isInvalid } of unused) {
    if (ref.kind === "Service") unusedServices.set(serviceName(ref), { why, isInvalid });
  }
  return {
    store,
    context: view.context,
    traced: { ...desired, addresses },
    podCidrs: store.node?.podCidrs ?? [],
    unused: unusedServices,
    conflicts,
  };
}
