import type { PlanChange } from "../../../core/backend/contract.ts";
import { changesOfFamily } from "../../../core/backend/plan_changes.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { TableChange } from "../../nf_tables/fixed/tables.ts";
import { diffElements } from "../../nf_tables/set/changes.ts";
import { UseCounts } from "../../use_counts.ts";
import { elementsOf, nodeElements } from "./compile.ts";
import { SHARED_SETS } from "./sets.ts";
import type { RedirectionSettings } from "./target.ts";

/** The table of one family, as it is in force. */
export interface TableState {
  readonly family: TableFamily;
  readonly settings: RedirectionSettings;
  /** How many service ports use an element of SHARED_SETS, by elementId. */
  readonly uses: UseCounts;
}

export interface TableUpdate extends TableChange<RedirectionSettings> {
  /** Counts the changed uses. To be called once the update is in force. */
  accept(): void;
}

/** Returns the changes of the tables that changes of plans make. */
export function updatesOf(
  states: readonly TableState[],
  changes: readonly PlanChange[],
): readonly TableUpdate[] {
  return states.map(({ family, settings, uses }) => {
    const elements = diffElements(
      changesOfFamily(changes, family.family),
      (plan) => elementsOf(plan, settings),
      SHARED_SETS,
      (id) => uses.of(id),
    );
    return { family, settings, elements, accept: () => uses.addAll(elements.uses) };
  });
}

/** A table with plans, as a whole. */
export interface WholeTable {
  readonly state: TableState;
  readonly contents: TableUpdate["elements"]["added"];
}

/** Compiles a table with these plans of all families. */
export function wholeTable(
  family: TableFamily,
  settings: RedirectionSettings,
  plans: Iterable<ServicePortPlan>,
): WholeTable {
  const state: TableState = { family, settings, uses: new UseCounts() };
  const changes = [...plans].map((plan) => ({ key: plan.key, old: undefined, new: plan }));
  const contents = [...nodeElements(settings)];
  for (const { elements, accept } of updatesOf([state], changes)) {
    for (const element of elements.added) contents.push(element);
    accept();
  }
  return { state, contents };
}
