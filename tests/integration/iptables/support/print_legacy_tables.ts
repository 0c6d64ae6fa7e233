import { readLegacyTables } from "../../../../backends/x_tables/tables.ts";

/** Prints the legacy tables of a network namespace. legacy_tables_test.ts runs it. */
console.log(JSON.stringify(readLegacyTables()));
