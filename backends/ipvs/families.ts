import type { NodeSettings, PlanKey } from "../../core/plan/plan.ts";
import type { PlanChange } from "../../core/backend/contract.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import type { UseCounts } from "../use_counts.ts";
import { type BalancedServer, compile, type CompileOptions } from "./compile.ts";
import { type CompiledChange, type Difference, differenceOf } from "./update.ts";

/** One family, as it is in force. */
export interface FamilyState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** Of what service ports share, by the names of Difference.uses. */
  readonly uses: UseCounts;
}

/** One service port that changed. */
export interface FamilyChange extends CompiledChange {
  readonly family: TableFamily;
  readonly key: PlanKey;
}

/** What all changes of a family come to. */
export interface FamilyUpdate extends Difference {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** Counts that the update is in force. */
  accept(): void;
}

/** Of families that are not in use nothing is made. */
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
  return families.map(({ family, settings, uses }) => {
    const own = changes.filter((change) => change.family === family);
    const difference = differenceOf(own, (name) => uses.of(name));
    const accept = () => {
      for (const [name, change] of difference.uses) uses.add(name, change);
    };
    return { family, settings, accept, ...difference };
  });
}

/** The virtual servers there are after the changes. */
export function serversOf(changes: readonly FamilyChange[]): readonly BalancedServer[] {
  return changes.flatMap((change) => change.new?.servers ?? []);
}
