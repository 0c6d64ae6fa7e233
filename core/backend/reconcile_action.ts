import type { ReconcileReport } from "./contract.ts";

/**
 * Names what a reconcile did, for the log.
 * @param isFirst true for the first successful reconcile of this process.
 */
export function reconcileAction(report: ReconcileReport, isFirst: boolean): string {
  if (report.found === "nothing") return "created";
  if (report.found === "foreign" || isFirst) return "took over";
  if (report.differences.length > 0) return "repaired";
  return report.compared === "all" ? "compared" : "refilled";
}
