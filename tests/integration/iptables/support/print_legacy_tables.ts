import { readLegacyTables } from "../../../../backends/iptables/legacy/tables.ts";

/** Prints the legacy tables of a network namespace. legacy_tables_test.ts runs it. */
console.log(JSON.stringify(readLegacyTables()));
