import { eachInTurns, type Turns } from "../../../core/async/turns.ts";
import { REFUSAL_REASONS, type ServiceTraffic, type Volume } from "../../../core/backend/traffic.ts";
import type { Frontend, FrontendKind, ServicePortPlan } from "../../../core/plan/plan.ts";
import { addressKey, PORT_KEY_BYTES, portKey } from "../set/keys.ts";

/** Counters of one frontend, or of several. */
export type Counters = Omit<ServiceTraffic, "key" | "frontend">;

export interface AssignedCounters {
  readonly services: readonly ServiceTraffic[];
  /** Keys that are no frontend of any plan. */
  readonly unassigned: readonly string[];
}

/**
 * Assigns counters to the service ports whose frontends they are for, and adds up those of one kind, in turns.
 * @param counters by destination address, protocol and port (`addressKey`).
 * @param plans returns those of one family. Called only if there are counters, because an idle node has none.
 * @param turns see `eachInTurns`.
 */
export async function assignCounters(
  counters: ReadonlyMap<string, Counters>,
  plans: () => Iterable<ServicePortPlan>,
  turns?: Turns,
): Promise<AssignedCounters> {
  const rest = new Map<string, Counters>();
  await eachInTurns(counters, ([key, found]) => rest.set(key, found), turns);
  const services: ServiceTraffic[] = [];
  const assign = async (isAssigned: (kind: FrontendKind) => boolean, take: Take) => {
    if (rest.size === 0) return;
    await eachInTurns(plans(), (plan) => {
      const byKind = new Map<FrontendKind, Counters>();
      for (const frontend of plan.frontends) {
        if (!isAssigned(frontend.kind)) continue;
        for (const found of take(plan, frontend)) {
          byKind.set(frontend.kind, sum(byKind.get(frontend.kind) ?? NOTHING, found));
        }
      }
      for (const [frontend, counters] of byKind) services.push({ key: plan.key, frontend, ...counters });
    }, turns);
  };
  // Addresses first, because a frontend with an address takes precedence over a node port.
  await assign((kind) => kind !== "NodePort", (plan, frontend) => takeAddress(rest, plan, frontend));
  const byPort = Map.groupBy(rest, ([key]) => key.slice(-PORT_KEY_BYTES));
  await assign((kind) => kind === "NodePort", (plan, frontend) => {
    const key = portKey(plan.protocol, frontend.port);
    const found = byPort.get(key) ?? [];
    byPort.delete(key);
    return found.map(([, counters]) => counters);
  });
  return { services, unassigned: [...byPort.values()].flatMap((found) => found.map(([key]) => key)) };
}

type Take = (plan: ServicePortPlan, frontend: Frontend) => readonly Counters[];

/** Takes the counters of an address, because a plan may repeat it. */
function takeAddress(rest: Map<string, Counters>, plan: ServicePortPlan, frontend: Frontend): Counters[] {
  if (frontend.kind === "NodePort") return [];
  const key = addressKey(frontend.address, plan.protocol, frontend.port);
  const found = rest.get(key);
  rest.delete(key);
  return found === undefined ? [] : [found];
}

const NOTHING: Counters = { connections: 0, refused: {} };

function sum(a: Counters, b: Counters): Counters {
  const refused = REFUSAL_REASONS.flatMap((reason) => {
    const [one, other] = [a.refused[reason], b.refused[reason]];
    return one === undefined && other === undefined ? [] : [[reason, (one ?? 0) + (other ?? 0)]];
  });
  const toEndpoints = sumOfVolumes(a.toEndpoints, b.toEndpoints);
  const fromEndpoints = sumOfVolumes(a.fromEndpoints, b.fromEndpoints);
  return {
    connections: a.connections + b.connections,
    ...(toEndpoints === undefined ? {} : { toEndpoints }),
    ...(fromEndpoints === undefined ? {} : { fromEndpoints }),
    refused: Object.fromEntries(refused),
  };
}

function sumOfVolumes(a: Volume | undefined, b: Volume | undefined): Volume | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}
