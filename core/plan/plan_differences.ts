import { compareEndpoints } from "./endpoints.ts";
import type { Endpoint, Frontend, ServicePortPlan } from "./plan.ts";

/** Numbers of parts that differ between two plans of one service port. */
export interface PlanDifferences {
  readonly frontends: Gains;
  readonly endpoints: Gains;
}

export interface Gains {
  readonly added: number;
  readonly removed: number;
}

/** Counts what differs from `old` in `next`. Undefined stands for no plan. */
export function planDifferences(
  old: ServicePortPlan | undefined,
  next: ServicePortPlan | undefined,
): PlanDifferences {
  return {
    frontends: frontendGains(old?.frontends ?? [], next?.frontends ?? []),
    endpoints: endpointGains(endpointsOf(old), endpointsOf(next)),
  };
}

/** The endpoints that new connections may get: those of the cluster, or of this node if only these are used. */
function endpointsOf(plan: ServicePortPlan | undefined): readonly Endpoint[] {
  if (plan === undefined) return [];
  return plan.clusterEndpoints.length > 0 ? plan.clusterEndpoints : plan.localEndpoints;
}

function frontendGains(old: readonly Frontend[], next: readonly Frontend[]): Gains {
  if (old === next) return { added: 0, removed: 0 };
  const before = new Set(old.map(keyOf));
  const after = new Set(next.map(keyOf));
  return { added: after.difference(before).size, removed: before.difference(after).size };
}

function keyOf(frontend: Frontend): string {
  return frontend.kind === "NodePort"
    ? `NodePort ${frontend.port}`
    : `${frontend.kind} ${frontend.port} ${frontend.address}`;
}

/** Both lists are sorted, so that one pass compares a thousand endpoints without a copy of them. */
function endpointGains(old: readonly Endpoint[], next: readonly Endpoint[]): Gains {
  let added = 0, removed = 0, o = 0, n = 0;
  while (old !== next) {
    const [before, after] = [old[o], next[n]];
    if (before === undefined && after === undefined) break;
    const order = before === undefined ? 1 : after === undefined ? -1 : compareEndpoints(before, after);
    if (order <= 0) o++;
    if (order >= 0) n++;
    if (order < 0) removed++;
    if (order > 0) added++;
  }
  return { added, removed };
}
