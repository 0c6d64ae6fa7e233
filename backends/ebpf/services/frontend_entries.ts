import type { PlanChange } from "../../../core/backend/contract.ts";
import type { Address } from "../../../core/net/address.ts";
import type { Frontend, ServicePortPlan } from "../../../core/plan/plan.ts";
import { sameFrontends } from "../../../core/plan/same_plan.ts";
import { type Entries, nameOf } from "../maps/entries.ts";
import {
  type ServiceEntry,
  SIZE,
  VERDICT,
  writeCatchAll,
  writeFrontend,
  writeNodePort,
  writeService,
} from "../maps/layout.ts";

/** A frontend of a plan. */
export interface PlanFrontend {
  readonly frontend: Frontend;
  readonly plan: ServicePortPlan;
}

export function frontendsOf(plan: ServicePortPlan | undefined): readonly PlanFrontend[] {
  return plan?.frontends.map((frontend) => ({ frontend, plan })) ?? [];
}

export function hasSameFrontends({ old, new: next }: PlanChange): boolean {
  return old !== undefined && next !== undefined && sameFrontends(old, next);
}

export function* clusterIPsOf(frontends: readonly PlanFrontend[]): Generator<Address> {
  for (const { frontend } of frontends) if (frontend.kind === "ClusterIP") yield frontend.address;
}

const scratchKey = new DataView(new ArrayBuffer(SIZE.frontend));

/** The key of a frontend as a string. */
export function keyName(frontend: PlanFrontend): string {
  writeKey(scratchKey, 0, frontend);
  return nameOf(scratchKey, 0, SIZE.frontend);
}

export function addFrontend(entries: Entries, frontend: PlanFrontend): number {
  const index = entries.add();
  writeKey(entries.keys, index * SIZE.frontend, frontend);
  return index;
}

export function writeKey(to: DataView, offset: number, { frontend, plan }: PlanFrontend): void {
  if (frontend.kind === "NodePort") writeNodePort(to, offset, plan.family, frontend.port, plan.protocol);
  else writeFrontend(to, offset, frontend.address, frontend.port, plan.protocol);
}

/** Adds the entry that rejects connections to ports of a ClusterIP that no service port has. */
export function addCatchAll(entries: Entries, clusterIP: Address): number {
  const index = entries.add();
  writeCatchAll(entries.keys, index * SIZE.frontend, clusterIP);
  writeValue(entries, index, REJECT);
  return index;
}

const REJECT: ServiceEntry = {
  id: 0,
  verdict: VERDICT.REJECT,
  flags: 0,
  affinitySeconds: 0,
  cluster: { first: 0, count: 0 },
  local: { first: 0, count: 0 },
  serving: { first: 0, count: 0 },
  generation: 0,
};

/** Writes the value of an entry after its key, because the value contains a checksum over both. */
export function writeValue({ keys, values }: Entries, index: number, service: ServiceEntry): void {
  writeService(values, index * SIZE.service, service, keys, index * SIZE.frontend);
}
