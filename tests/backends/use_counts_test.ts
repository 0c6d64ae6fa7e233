import assert from "node:assert/strict";
import { UseChanges, UseCounts } from "../../backends/use_counts.ts";

Deno.test("a shared thing is added with its first use and removed with its last", () => {
  const counts = new UseCounts();
  const step = (...changes: readonly (1 | -1)[]) => {
    const uses = new UseChanges<string>();
    for (const change of changes) uses.use("10.96.0.10", "the address", change);
    const difference = uses.difference((name) => counts.of(name));
    counts.addAll(uses);
    return difference;
  };
  assert.deepEqual(step(1, 1), { added: ["the address"], removed: [] });
  assert.deepEqual(step(-1), { added: [], removed: [] });
  assert.deepEqual(step(-1, 1), { added: [], removed: [] });
  assert.deepEqual(step(-1), { added: [], removed: ["the address"] });
  assert.deepEqual([...counts.names()], []);
});
