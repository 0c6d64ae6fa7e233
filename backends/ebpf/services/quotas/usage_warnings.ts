import { type PlanKey, printedNameOf } from "../../../../core/plan/plan.ts";
import { TruncatedList } from "../../../truncated_list.ts";
import { type Admission, NAMES, type Resource } from "./admission.ts";

/** Tells the operator when entries of the maps become scarce. */
export class UsageWarnings {
  #reported: readonly Resource[] = [];
  /** Number of service ports whose missing tables were reported. */
  #reportedWithoutTables = 0;

  /**
   * @param news only what was not so last time.
   * @param withoutTables service ports that ask for tables, but have plain lists.
   */
  describe(
    news: "news" | "all",
    admission: Admission,
    withoutTables: ReadonlySet<PlanKey>,
  ): readonly string[] {
    const { scarce } = admission;
    const isNew = (resource: Resource) => news === "all" || !this.#reported.includes(resource);
    const warnings = scarce.filter(isNew).map((resource) => describeScarcity(admission, resource));
    this.#reported = scarce;
    const hasMore = withoutTables.size > this.#reportedWithoutTables;
    this.#reportedWithoutTables = withoutTables.size;
    if (withoutTables.size > 0 && (news === "all" || hasMore)) {
      warnings.push(describeWithoutTables(withoutTables));
    }
    return warnings;
  }
}

function describeScarcity(admission: Admission, resource: Resource): string {
  const { what, flag } = NAMES[resource];
  const { namespace } = admission.quotas[resource].largest;
  return `less than a quarter of the capacity for ${what} is free, so that namespaces with many of them get no more; ` +
    `namespace ${namespace} has most. Increase ${flag} (docs/ebpf.md#quotas)`;
}

function describeWithoutTables(withoutTables: ReadonlySet<PlanKey>): string {
  const names = new TruncatedList();
  for (const key of withoutTables) names.add(() => printedNameOf(key));
  return `no room for the Maglev or weight tables of ${withoutTables.size} service ports, which are balanced at ` +
    `random: ${names.texts.join(", ")}. Increase --ebpf-max-endpoints, or choose a smaller ` +
    "--ebpf-maglev-table-size (docs/ebpf.md#quotas)";
}
