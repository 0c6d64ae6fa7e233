import assert from "node:assert/strict";
import { fileBudget } from "../../../../backends/userspace/relay/file_budget.ts";

const SETTINGS = { maxConnections: 100_000, maxUdpFlows: 10_000 };

Deno.test("with files enough, connections and flows have their limits", () => {
  assert.deepEqual(fileBudget(1_048_576, SETTINGS), { connections: 100_000, pipes: 256, flows: 10_000 });
});

Deno.test("with few files, every kind of use has its part, and the process keeps some", () => {
  for (const limit of [64, 256, 1024, 4096, 20_000, 100_000]) {
    const { connections, pipes, flows } = fileBudget(limit, SETTINGS);
    assert(2 * connections + 2 * pipes + flows <= limit - Math.min(1024, limit / 2), `${limit}`);
    assert(connections > limit / 8 && pipes > 0 && flows > 0, `${limit}`);
  }
});
