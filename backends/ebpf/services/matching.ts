import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import {
  type AllocatedPlan,
  asksForTables,
  type BalancingOptions,
  blockOf,
  type EndpointBlock,
} from "./compile.ts";
import { writeKey } from "./frontend_entries.ts";
import type { KernelState } from "./in_force.ts";
import { KeptAllocations } from "./kept_allocations.ts";
import { slotsOf } from "./snapshot.ts";
import { sameWords } from "../maps/entries.ts";
import { type ServiceEntry, SIZE, type SlotRange, writeEndpoint } from "../maps/layout.ts";

/** A plan and what the kernel has of it. */
export interface MatchedPlan {
  readonly plan: ServicePortPlan;
  /** The id that it keeps. */
  readonly id: number | undefined;
  /** The entry of its first frontend, perhaps of another service port. */
  readonly service: ServiceEntry | undefined;
  /** The allocation that it keeps, because its slots contain its endpoints. */
  readonly allocated: AllocatedPlan | undefined;
}

/** All plans, and the ids and slots that they keep. */
export interface Matches {
  readonly plans: readonly MatchedPlan[];
  readonly kept: KeptAllocations;
}

/** Finds what plans can keep of the ids and slots in the kernel. */
export function matchPlans(
  plans: readonly ServicePortPlan[],
  { snapshot, owners: { idOf } }: KernelState,
  endpoints: DataView<ArrayBuffer>,
  options: BalancingOptions,
): Matches {
  const kept = new KeptAllocations(endpoints.byteLength / SIZE.endpoint);
  const matched = plans.map((plan): MatchedPlan => {
    const known = idOf(plan.key);
    const id = known !== undefined && kept.keepId(known) ? known : undefined;
    const [frontend] = plan.frontends;
    if (frontend !== undefined) writeKey(scratchKey, 0, { frontend, plan });
    const service = frontend && snapshot.get(scratchKey, 0);
    const isKnown = id !== undefined && service?.id === id;
    const allocated = isKnown ? match(plan, service, { kept, endpoints, options }) : undefined;
    return { plan, id, service, allocated };
  });
  return { plans: matched, kept };
}

/** Reports whether slots contain a block. */
export function containsBlock(
  endpoints: DataView<ArrayBuffer>,
  { first, count }: SlotRange,
  block: EndpointBlock,
): boolean {
  if ((first + count) * SIZE.endpoint > endpoints.byteLength) return false;
  return block.endpoints.every(({ address, port, isLocal }, index) => {
    writeEndpoint(scratchEndpoint, 0, address, port, isLocal);
    return sameWords(scratchEndpoint, 0, endpoints, (first + index) * SIZE.endpoint, SIZE.endpoint);
  });
}

const scratchKey = new DataView(new ArrayBuffer(SIZE.frontend));
const scratchEndpoint = new DataView(new ArrayBuffer(SIZE.endpoint));

interface MatchContext {
  readonly kept: KeptAllocations;
  readonly endpoints: DataView<ArrayBuffer>;
  readonly options: BalancingOptions;
}

/** The allocation that a plan has in the kernel, with tables or without. */
function match(
  plan: ServicePortPlan,
  service: ServiceEntry,
  { kept, endpoints, options }: MatchContext,
): AllocatedPlan | undefined {
  const possible = asksForTables(plan, options) ? ["granted", "denied"] as const : ["none"] as const;
  for (const tables of possible) {
    const block = blockOf(plan, options, tables);
    const slots = slotsOf(service);
    if (!namesBlock(service, block) || !containsBlock(endpoints, slots, block)) continue;
    if (!kept.keepSlots(slots)) continue;
    const { id, generation } = service;
    return { plan, block, allocation: { id, slots, generation, tables } };
  }
  return undefined;
}

/** Reports whether the lists of a service are exactly those of a block. */
function namesBlock(service: ServiceEntry, block: EndpointBlock): boolean {
  const slots = slotsOf(service);
  const isAt = (list: SlotRange, expected: SlotRange) =>
    list.count === expected.count && (list.count === 0 || list.first === slots.first + expected.first);
  return slots.count === block.endpoints.length && isAt(service.cluster, block.cluster) &&
    isAt(service.local, block.local) && isAt(service.serving, block.serving);
}
