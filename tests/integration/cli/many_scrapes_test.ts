import assert from "node:assert/strict";
import { slowness } from "../../lab/pace.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

const SCRAPES = 1000;
/** Scrapes at the same time. More than the 128 connections of the budget. */
const PARALLEL = 200;
/** An exposition takes 2 ms or more, so that one per scrape would take longer than this. */
const MAX_CPU_SECONDS = 1.5;

/** CPU time that the process has used. */
function cpuSeconds({ pid }: RunningProxy): number {
  const [, fields = ""] = /\) (.*)/.exec(Deno.readTextFileSync(`/proc/${pid}/stat`)) ?? [];
  const [user, system] = fields.split(" ").slice(11, 13).map(Number);
  return ((user ?? NaN) + (system ?? NaN)) / 100;
}

Deno.test("a thousand scrapes at once get an answer, use little CPU, and do not hold up health checks", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  await node.metrics();
  const before = cpuSeconds(proxy);
  const curl = [
    ...["curl", "--silent", "--noproxy", "*", "--parallel", "--parallel-immediate"],
    ...["--parallel-max", String(PARALLEL), "--retry", "5", "--retry-all-errors", "--retry-delay", "1"],
    ...["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}\n"],
    `http://127.0.0.1:10249/metrics?[1-${SCRAPES}]`,
  ];
  let isDone = false;
  const scraping = node.namespace.run(...curl).finally(() => isDone = true);
  const healthMs: number[] = [];
  while (!isDone) {
    const asked = performance.now();
    assert.equal((await proxy.health()).status, 200);
    healthMs.push(performance.now() - asked);
  }
  const answers = (await scraping).trim().split("\n");
  const used = cpuSeconds(proxy) - before;
  const slowest = Math.max(...healthMs);
  const found = `${used.toFixed(2)} s of CPU, the slowest of ${healthMs.length} health checks took ${
    slowest.toFixed(0)
  } ms`;
  console.log(`    ${found}`);
  const good = answers.filter((answer) => /^200 [1-9]\d{4,}$/.test(answer));
  assert.equal(good.length, SCRAPES);
  assert.ok(used < MAX_CPU_SECONDS, found);
  assert.ok(slowest < 1000 * slowness, found);
});
