import assert from "node:assert/strict";
import { TABLE_FAMILIES } from "../../../../backends/nf_tables/families.ts";
import { TableText } from "../../../../backends/nf_tables/text/table_text.ts";
import { TABLE } from "../../../../backends/nftables/names.ts";
import { writeRefill } from "../../../../backends/nftables/refill.ts";
import { sampleStates } from "../../../../backends/sample_services.ts";

Deno.test("every rule and element of mode nftables has a text", () => {
  let tables = 0;
  for (const { settings, plans } of sampleStates()) {
    for (const family of TABLE_FAMILIES) {
      for (const one of settings.filter((one) => one.family === family.family)) {
        const table = new TableText(TABLE, family);
        writeRefill(table, family, one, plans.values(), { how: "create" });
        const text = table.text();
        assert.doesNotMatch(text, /undefined|NaN/);
        assert.match(text, new RegExp(`^table ${family.keyword} kube-proxy\ndelete table `));
        tables++;
      }
    }
  }
  assert(tables > 4);
});
