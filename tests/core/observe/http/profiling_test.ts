import assert from "node:assert/strict";
import { profilingRoutes } from "../../../../core/observe/http/profiling_routes.ts";
import { parseHead } from "../../../../core/observe/http/request.ts";

const routes = profilingRoutes();

async function get(target: string): Promise<Response> {
  const request = parseHead(`GET ${target} HTTP/1.1\r\nHost: x`);
  const route = routes[request.path];
  assert.ok(route !== undefined, target);
  return await route(request);
}

Deno.test("a CPU profile names the function that used the time", async () => {
  const answer = get("/debug/pprof/profile?seconds=0.3");
  // The profile begins in a later turn of the loop.
  await new Promise((resolve) => setTimeout(resolve, 50));
  useTimeForProfile();
  const response = await answer;
  assert.equal(response.headers.get("content-disposition"), 'attachment; filename="proxy.cpuprofile"');
  const { nodes }: { nodes: { callFrame: { functionName: string } }[] } = await response.json();
  assert.ok(nodes.some(({ callFrame }) => callFrame.functionName === "useTimeForProfile"));
});

function useTimeForProfile(): void {
  let sum = 0;
  for (const end = performance.now() + 100; performance.now() < end;) sum += Math.sqrt(sum + 1);
}

Deno.test("a heap snapshot has the objects in memory", async () => {
  const { snapshot, strings } = await (await get("/debug/pprof/heap")).json();
  assert.ok(snapshot.node_count > 1000);
  assert.ok(strings.length > 1000);
});

Deno.test("one profile is made at a time", async () => {
  const first = get("/debug/pprof/profile?seconds=0.2");
  const second = await get("/debug/pprof/heap");
  assert.equal(second.status, 503);
  assert.match(await second.text(), /another profile is being made/);
  assert.equal((await first).status, 200);
});

Deno.test("times that are no times, and profiles of Go, are answered with what to do", async () => {
  for (const seconds of ["0", "-1", "26", "x", "Infinity"]) {
    const response = await get(`/debug/pprof/profile?seconds=${seconds}`);
    assert.equal(response.status, 400, seconds);
    assert.equal(await response.text(), "seconds: must be a number above 0, and at most 25\n");
  }
  const goroutine = await get("/debug/pprof/goroutine");
  assert.equal(goroutine.status, 404);
  assert.match(await goroutine.text(), /only a Go program has this profile; see \/debug\/pprof\//);
  assert.equal((await get("/debug/pprof")).headers.get("location"), "/debug/pprof/");
  assert.match(await (await get("/debug/pprof/")).text(), /heapsnapshot/);
});
