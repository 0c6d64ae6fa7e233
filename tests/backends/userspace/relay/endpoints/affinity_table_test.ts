import assert from "node:assert/strict";
import { AffinityTable } from "../../../../../backends/userspace/relay/endpoints/affinity_table.ts";

Deno.test("the affinity table forgets the client that was away for the longest time", () => {
  const table = new AffinityTable(2);
  table.set("a", "x", 0);
  table.set("b", "y", 1);
  table.set("a", "x", 2);
  table.set("c", "z", 3);
  assert.equal(table.size, 2);
  assert.deepEqual(["a", "b", "c"].map((client) => table.get(client, 10, 4)), ["x", undefined, "z"]);
});
