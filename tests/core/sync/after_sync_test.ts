import assert from "node:assert/strict";
import { BackendError, type InForce } from "../../../core/backend/contract.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { SyncLoop } from "../../../core/sync/sync_loop.ts";
import { silentLog } from "../observe/log/silent_log.ts";
import { MapBackend, rejectServices } from "./kernel.ts";
import { service, slice, view } from "./objects.ts";

interface Told {
  readonly full: boolean;
  /** Names of the services that changed, and of all services in force. */
  readonly changed: readonly string[];
  readonly all: readonly string[];
}

/** Runs a loop while `act` runs, and returns the calls of afterSync. */
async function told(
  backend: MapBackend,
  act: (add: (name: string, clusterIP: string) => void, told: readonly Told[]) => Promise<void>,
): Promise<readonly Told[]> {
  const told: Told[] = [];
  const queue = new PlanQueue("here", silentLog);
  queue.setView(view);
  const afterSync = ({ desired, changes, full }: InForce) => {
    // The reported state is already in force.
    assert.deepEqual([...backend.inForce.keys()].sort(), [...desired.plans.keys()].sort());
    const names = [...desired.plans.values()].map((plan) => plan.name);
    told.push({ full, changed: changes.map((change) => (change.new ?? change.old)!.name), all: names });
  };
  const nothing = () => {};
  const observer = {
    queued: nothing,
    started: nothing,
    synced: nothing,
    settled: nothing,
    failed: nothing,
    healthChecks: nothing,
    ended: nothing,
  };
  const options = { backend, queue, observer, afterSync, log: silentLog };
  const loop = new SyncLoop({ ...options, minSyncPeriodMs: 0, syncPeriodMs: 1000 });
  const stop = new AbortController();
  const running = loop.run(stop.signal);
  await act((name, clusterIP) => {
    queue.upsert(service(name, clusterIP));
    queue.upsert(slice(name, "10.1.0.1"));
    loop.changed();
  }, told);
  stop.abort();
  await running;
  return told;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("afterSync gets the first sync as a full one, then the changes", async () => {
  const syncs = await told(new MapBackend(), async (add, told) => {
    await until(() => told.length === 1, "started");
    add("a", "10.96.0.1");
    await until(() => told.length === 2, "a in force");
    add("b", "10.96.0.2");
    await until(() => told.length === 3, "b in force");
  });
  assert.deepEqual(syncs, [
    { full: true, changed: [], all: [] },
    { full: false, changed: ["a"], all: ["a"] },
    { full: false, changed: ["b"], all: ["a", "b"] },
  ]);
});

Deno.test("afterSync does not get changes that the kernel rejects", async () => {
  const backend = new MapBackend();
  const syncs = await told(backend, async (add, told) => {
    await until(() => told.length === 1, "started");
    backend.reject = rejectServices(["bad"], { named: true });
    add("bad", "10.96.0.2");
    add("a", "10.96.0.1");
    await until(() => told.length === 2, "a in force");
    backend.reject = () => new BackendError("EPERM");
    add("b", "10.96.0.3");
    await until(() => backend.calls.length > 5, "tried");
  });
  assert.deepEqual(syncs.slice(1), [{ full: false, changed: ["a"], all: ["a"] }]);
});
