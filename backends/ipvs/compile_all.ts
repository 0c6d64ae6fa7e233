import type { DesiredState } from "../../core/plan/plan.ts";
import { tableFamilyOf } from "../nf_tables/families.ts";
import { UseCounts } from "../use_counts.ts";
import type { CompileOptions } from "./compile.ts";
import { ServersInForce } from "./servers/in_force.ts";
import { compileChanges, type FamilyChange, type FamilyState } from "./update.ts";

/** The desired state as changes from nothing. */
export interface CompiledState {
  readonly families: readonly FamilyState[];
  readonly changes: readonly FamilyChange[];
  /** The desired virtual servers with their owners. */
  readonly servers: ServersInForce;
}

export function compileAll(desired: DesiredState, options: CompileOptions): CompiledState {
  const families = desired.settings.map((settings) => ({
    family: tableFamilyOf(settings.family),
    settings,
    uses: new UseCounts(),
  }));
  const plans = desired.plans.values();
  const changes = compileChanges(plans.map((plan) => ({ new: plan })), families, options);
  const servers = new ServersInForce();
  servers.record(changes);
  return { families, changes, servers };
}
