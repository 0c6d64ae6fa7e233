import type { PlanChange } from "../../core/backend/contract.ts";
import type { Address } from "../../core/net/address.ts";
import type { NodeSettings, PlanKey } from "../../core/plan/plan.ts";
import type { SetDifference } from "../difference.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { diffElements } from "../nf_tables/set/changes.ts";
import type { Element } from "../nf_tables/set/element.ts";
import { UseChanges, type UseCounts } from "../use_counts.ts";
import { type BalancedServer, compile, type Compiled, type CompileOptions } from "./compile.ts";
import { SERVICE_DEVICE } from "./device/dummy_device.ts";
import { diffServers, type ServerDifference } from "./servers/diff.ts";
import { SHARED_SETS } from "./tables/sets.ts";

/** One family, as it is in force. */
export interface FamilyState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** How many service ports use what they share: set elements by elementId, addresses by addressId. */
  readonly uses: UseCounts;
}

/** A change of one service port: what it was and what it is, undefined for nothing. */
export interface FamilyChange {
  readonly family: TableFamily;
  readonly key: PlanKey;
  readonly old: Compiled | undefined;
  readonly new: Compiled | undefined;
}

/** Differences that a batch of changes makes in one family, besides the virtual servers. */
export interface FamilyUpdate {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** Addresses of the device kube-ipvs0. */
  readonly addresses: SetDifference<Address>;
  readonly elements: SetDifference<Element>;
  /** Counts the changed uses. To be called once the update is in force. */
  accept(): void;
}

/** Compiles both sides of each change. Skips plans of families that are not in use. */
export function compileChanges(
  changes: Iterable<Partial<PlanChange>>,
  families: readonly FamilyState[],
  options: CompileOptions,
): FamilyChange[] {
  const compiled: FamilyChange[] = [];
  for (const { old, new: next } of changes) {
    const plan = next ?? old;
    const state = families.find(({ settings }) => settings.family === plan?.family);
    if (plan === undefined || state === undefined) continue;
    compiled.push({
      family: state.family,
      key: plan.key,
      old: old && compile(old, state.settings, options),
      new: next && compile(next, state.settings, options),
    });
  }
  return compiled;
}

export function updatesOf(
  families: readonly FamilyState[],
  changes: readonly FamilyChange[],
): readonly FamilyUpdate[] {
  return families.map((state) => updateOf(state, changes.filter(({ family }) => family === state.family)));
}

function updateOf({ family, settings, uses }: FamilyState, changes: readonly FamilyChange[]): FamilyUpdate {
  const usesOf = (id: string) => uses.of(id);
  const elements = diffElements(changes, (compiled) => compiled.elements, SHARED_SETS, usesOf);
  const addresses = addressUses(changes);
  return {
    family,
    settings,
    addresses: addresses.difference(usesOf),
    elements,
    accept: () => {
      uses.addAll(elements.uses);
      uses.addAll(addresses);
    },
  };
}

function addressUses(changes: readonly FamilyChange[]): UseChanges<Address> {
  const uses = new UseChanges<Address>();
  for (const { old, new: next } of changes) {
    for (const address of old?.addresses ?? []) uses.use(addressId(address), address, -1);
    for (const address of next?.addresses ?? []) uses.use(addressId(address), address, 1);
  }
  return uses;
}

/** Cannot be the elementId of any set. */
function addressId(address: Address): string {
  return `${SERVICE_DEVICE} ${address}`;
}

/** The virtual servers after the changes. */
export function serversOf(changes: readonly FamilyChange[]): readonly BalancedServer[] {
  return changes.flatMap((change) => change.new?.servers ?? []);
}

/**
 * Compares all changes at once: a frontend that moves to another service port is one virtual server that
 * changes.
 */
export function changedServers(changes: readonly FamilyChange[]): ServerDifference {
  return diffServers(serversOf(changes), changes.flatMap((change) => change.old?.servers ?? []));
}
