import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { OFFSET } from "../maps/layout.ts";
import type { KnownOwners } from "./identity.ts";
import type { Demand } from "./quotas/admission.ts";
import type { ServiceSnapshot } from "./snapshot.ts";

/** The contents of the maps when they were read. */
export interface KernelState {
  readonly snapshot: ServiceSnapshot;
  readonly owners: KnownOwners;
}

/** The entries that each service port has in the maps. */
export function demandsInForce(
  { snapshot, owners }: KernelState,
  { source_ranges }: Pick<KernelMaps, "source_ranges">,
): (plan: Pick<ServicePortPlan, "key">) => Demand {
  const { frontends, slots } = snapshot.countsById();
  const sourceRanges = new Map<number, number>();
  source_ranges.forEach((keys, offset) => {
    const id = keys.getUint32(offset + OFFSET.range.service, true);
    sourceRanges.set(id, (sourceRanges.get(id) ?? 0) + 1);
  });
  return ({ key }) => {
    const id = owners.idOf(key) ?? 0;
    const of = (counts: ReadonlyMap<number, number>) => id === 0 ? 0 : counts.get(id) ?? 0;
    return { frontends: of(frontends), sourceRanges: of(sourceRanges), slots: of(slots), clusterIPs: [] };
  };
}
