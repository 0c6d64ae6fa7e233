import type { TableFamily } from "../../nf_tables/families.ts";
import type { SharedChain } from "../rules/layout.ts";

/** For the log: `chain KUBE-SERVICES of table ip nat`. */
export function chainInWords({ keyword }: TableFamily, { table, name }: SharedChain): string {
  return `chain ${name} of table ${keyword} ${table}`;
}
