import assert from "node:assert/strict";
import { fileBudget } from "../../../../backends/userspace/relay/file_budget.ts";

const SETTINGS = { maxConnections: 100_000, maxUdpFlows: 10_000 };

Deno.test("with files enough, connections and flows have their limits", () => {
  assert.deepEqual(fileBudget(1_048_576, SETTINGS, 0), {
    connections: 100_000,
    pipes: 256,
    flows: 10_000,
    listeners: 523_776,
  });
});

Deno.test("with few files, every kind of use has its part, and the process keeps some", () => {
  for (const limit of [64, 256, 1024, 4096, 20_000, 100_000]) {
    const { listeners } = fileBudget(limit, SETTINGS, 0);
    for (const open of [0, 1, listeners]) {
      const { connections, pipes, flows } = fileBudget(limit, SETTINGS, open);
      const used = 2 * connections + 2 * pipes + flows + open;
      assert(used <= limit - Math.min(1024, limit / 2), `${limit}, ${open} listeners`);
      const least = open === listeners ? limit / 32 : limit / 8;
      assert(connections >= least && pipes > 0 && flows > 0, `${limit}, ${open} listeners`);
    }
  }
});
