import { readLegacyTables } from "../../../../backends/iptables/legacy/tables.ts";

/** Run by legacy_tables_test.ts in a network namespace of its own. */
console.log(JSON.stringify(readLegacyTables()));
