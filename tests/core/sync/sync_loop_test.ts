import assert from "node:assert/strict";
import { turns } from "../../../core/async/turns.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { RepairBackoff } from "../../../core/sync/repair_backoff.ts";
import { type Sync, SyncLoop } from "../../../core/sync/sync_loop.ts";
import { silentLog } from "../observe/log/silent_log.ts";
import { MapBackend, rejectServices } from "./kernel.ts";
import { service, slice, view } from "./objects.ts";

/** Later than any time of performance.now() in a test. */
const FAR_AHEAD_MS = 1e9;

class Harness implements AsyncDisposable {
  readonly backend = new MapBackend();
  readonly queue = new PlanQueue("here", silentLog);
  readonly syncs: Sync[] = [];
  readonly healthChecks: string[] = [];
  readonly failedSyncs: string[] = [];
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  readonly loop: SyncLoop;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(
    prepare: (harness: Harness) => void = () => {},
    minSyncPeriodMs = 0,
    readonly repairs = new RepairBackoff({ maxDelayMs: 1000, log: silentLog }),
  ) {
    this.loop = new SyncLoop({
      backend: this.backend,
      queue: this.queue,
      repairs,
      log: {
        ...silentLog,
        warn: (message) => this.warnings.push(message),
        error: (message, fields) => this.errors.push(`${message}: ${fields?.["error"]}`),
      },
      minSyncPeriodMs,
      syncPeriodMs: 1000,
      observer: {
        queued: () => {},
        started: () => {},
        synced: (sync) => this.syncs.push(sync),
        healthChecks: (changed) => this.healthChecks.push(...changed.keys()),
        settled: () => {},
        failed: ({ full }) => this.failedSyncs.push(full ? "full" : "partial"),
        ended: () => {},
      },
    });
    this.queue.setView(view);
    prepare(this);
    this.#running = this.loop.run(this.#stop.signal);
  }

  add(name: string, clusterIP: string): void {
    this.queue.upsert(service(name, clusterIP));
    this.queue.upsert(slice(name, "10.1.0.1"));
    this.loop.changed();
  }

  get failures(): number {
    return this.failedSyncs.length;
  }

  get inForce(): string[] {
    return [...this.backend.inForce.values()].map((plan) => plan.name).sort();
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 5000;
    while (!condition()) {
      assert.ok(performance.now() < deadline, `still not: ${what}; calls: ${this.backend.calls.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async [Symbol.asyncDispose]() {
    this.#stop.abort();
    await this.#running;
  }
}

Deno.test("the first sync is a reconcile, later ones apply only what changed", async () => {
  await using h = new Harness((h) => h.add("a", "10.96.0.1"));
  await h.until(() => h.inForce.join() === "a", "a in force");
  h.add("b", "10.96.0.2");
  await h.until(() => h.inForce.join() === "a,b", "b in force");
  assert.deepEqual(h.backend.calls, ["reconcile 1", "apply 1"]);
  assert.deepEqual(h.syncs.map((sync) => sync.full), [true, false]);
});

Deno.test("changes that arrive while a batch is in flight form one next batch", async () => {
  await using h = new Harness();
  await h.until(() => h.syncs.length === 1, "started");
  const gate = Promise.withResolvers<void>();
  h.backend.gate = gate.promise;
  h.add("a", "10.96.0.1");
  await h.until(() => h.backend.calls.length === 2, "a in flight");
  h.add("b", "10.96.0.2");
  h.add("c", "10.96.0.3");
  gate.resolve();
  await h.until(() => h.inForce.length === 3, "all in force");
  assert.deepEqual(h.backend.calls, ["reconcile 0", "apply 1", "apply 2"]);
});

Deno.test("readers wait while a change is put in force, and not otherwise", async () => {
  await using h = new Harness();
  await h.until(() => h.syncs.length === 1, "started");
  const waitOfReader = async () => {
    const asked = performance.now();
    await turns.next();
    return performance.now() - asked;
  };
  const gate = Promise.withResolvers<void>();
  h.backend.gate = gate.promise;
  h.add("a", "10.96.0.1");
  // It waits as long as a turn waits for urgent work.
  assert.ok(await waitOfReader() >= 10);
  gate.resolve();
  await h.until(() => h.inForce.length === 1, "in force");
  const waits: number[] = [];
  for (let i = 0; i < 50; i++) waits.push(await waitOfReader());
  assert.ok(Math.min(...waits) < 10, `${Math.min(...waits)} ms`);
});

Deno.test("a batch that is rejected as a whole is tried again and then reconciled", async () => {
  await using h = new Harness();
  await h.until(() => h.syncs.length === 1, "started");
  h.backend.reject = () => new BackendError("ENOMEM");
  for (let i = 1; i <= 20; i++) h.add(`s${i}`, `10.96.0.${i}`);
  await h.until(() => h.failures > 0, "failed");
  h.backend.reject = () => undefined;
  await h.until(() => h.inForce.length === 20, "all in force after the kernel recovered");
  assert.equal(h.failedSyncs[0], "partial");
});

Deno.test("a failure at the start is reported as a failed full sync", async () => {
  await using h = new Harness((h) => {
    h.backend.reject = () => h.failures < 1 ? new BackendError("ENOMEM") : undefined;
  });
  await h.until(() => h.syncs.length === 1, "started");
  assert.deepEqual(h.failedSyncs, ["full"]);
});

Deno.test("a failure that repeats is logged once, and again after a success", async () => {
  let reason = "EMFILE";
  await using h = new Harness((h) => h.backend.reject = () => new BackendError(reason));
  await h.until(() => h.failures >= 3, "failed three times");
  reason = "ENOMEM";
  await h.until(() => h.errors.length >= 2, "failed for another reason");
  h.backend.reject = () => undefined;
  await h.until(() => h.syncs.length === 1, "succeeded");
  h.backend.reject = () => new BackendError("ENOMEM");
  h.loop.reconcile("again");
  await h.until(() => h.errors.length >= 3, "failed again");
  const message = "Sync failed; the previous state stays in force";
  assert.deepEqual(h.errors, [`${message}: EMFILE`, `${message}: ENOMEM`, `${message}: ENOMEM`]);
});

Deno.test("warnings of a reconcile are logged", async () => {
  await using h = new Harness((h) => h.backend.warnings = ["node ports do not answer on loopback addresses"]);
  await h.until(() => h.syncs.length === 1, "started");
  assert.deepEqual(h.warnings, h.backend.warnings);
});

Deno.test("a service that the kernel rejects does not block the others, also at the start", async () => {
  await using h = new Harness((h) => {
    h.backend.reject = rejectServices(["bad"], { named: true });
    h.add("a", "10.96.0.1");
    h.add("bad", "10.96.0.2");
  });
  await h.until(() => h.inForce.join() === "a", "a in force");
  h.add("b", "10.96.0.3");
  await h.until(() => h.inForce.join() === "a,b", "b in force");
  h.backend.reject = () => undefined;
  await h.until(() => h.inForce.join() === "a,b,bad", "the rejected one in force after its delay");
});

Deno.test("after a rejected update the previous plan stays in force through a reconcile", async () => {
  await using h = new Harness((h) => h.add("a", "10.96.0.1"));
  await h.until(() => h.inForce.join() === "a", "a in force");
  h.backend.reject = (plans) => {
    const wide = plans.filter((plan) => plan.clusterEndpoints.length > 1).map((plan) => plan.key);
    return wide.length === 0 ? undefined : new BackendError("EINVAL", wide);
  };
  h.queue.upsert(slice("a", "10.1.0.1", "10.1.0.2"));
  h.loop.reconcile("table flushed");
  await h.until(() => h.failures > 0 && h.syncs.length === 2, "rejected and reconciled");
  assert.equal([...h.backend.inForce.values()][0]?.clusterEndpoints.length, 1);
});

Deno.test("a foreign change is repaired", async () => {
  await using h = new Harness((h) => h.add("a", "10.96.0.1"));
  await h.until(() => h.inForce.join() === "a", "a in force");
  h.backend.inForce.clear();
  h.loop.foreignChange("table ip kube-proxy deleted");
  await h.until(() => h.inForce.join() === "a", "repaired");
});

Deno.test("a full sync tells its reason, whose changes it repaired, and how much was wrong", async () => {
  await using h = new Harness();
  await h.until(() => h.syncs.length === 1, "started");
  h.backend.differences = ["chain a", "chain b"];
  h.loop.foreignChange("table ip kube-proxy changed", "nft");
  await h.until(() => h.syncs.length === 2, "repaired");
  h.backend.differences = [];
  h.loop.reconcile("hourly");
  await h.until(() => h.syncs.length === 3, "compared");
  h.add("a", "10.96.0.1");
  await h.until(() => h.syncs.length === 4, "applied");
  assert.deepEqual(h.syncs.map(({ reason, programs, differences }) => [reason, programs, differences]), [
    ["start", [], 0],
    ["table ip kube-proxy changed", ["nft"], 2],
    ["hourly", [], 0],
    [undefined, [], 0],
  ]);
});

Deno.test("the loop says what it is about to try again", async () => {
  await using h = new Harness();
  await h.until(() => h.syncs.length === 1, "started");
  assert.deepEqual([h.loop.isRetrying, h.loop.isRepairWaiting], [false, false]);
  h.loop.foreignChange("table ip kube-proxy deleted");
  assert.equal(h.loop.isRepairWaiting, true);
  await h.until(() => h.syncs.length === 2, "repaired");
  assert.equal(h.loop.isRepairWaiting, false);
  h.backend.reject = () => new BackendError("ENOMEM");
  h.loop.reconcile("hourly");
  await h.until(() => h.loop.isRetrying, "failed");
  h.backend.reject = () => undefined;
  await h.until(() => !h.loop.isRetrying, "succeeded");
});

Deno.test("a change of the cluster does not wait for a repair that backs off, and brings it forward", async () => {
  // The clock stands still, so the program undoes each repair at once.
  const repairs = new RepairBackoff({ maxDelayMs: 60_000, log: silentLog, now: () => FAR_AHEAD_MS });
  for (let time = 0; time < 16; time++) {
    repairs.note("table ip kube-proxy deleted", "nft");
    repairs.take();
    repairs.repaired();
  }
  await using h = new Harness((h) => h.add("a", "10.96.0.1"), 0, repairs);
  await h.until(() => h.inForce.join() === "a", "a in force");
  h.backend.inForce.clear();
  h.loop.foreignChange("table ip kube-proxy deleted", "nft");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(h.inForce, []);
  h.add("b", "10.96.0.2");
  await h.until(() => h.inForce.join() === "a,b", "b in force and a repaired");
  assert.deepEqual(h.backend.calls, ["reconcile 1", "reconcile 2"]);
});

Deno.test("warnings of a reconcile are logged again only if they change", async () => {
  await using h = new Harness((h) => h.backend.warnings = ["one"]);
  await h.until(() => h.syncs.length === 1, "started");
  h.loop.foreignChange("table ip kube-proxy deleted");
  await h.until(() => h.syncs.length === 2, "repaired");
  h.backend.warnings = ["one", "two"];
  h.loop.foreignChange("table ip kube-proxy deleted");
  await h.until(() => h.syncs.length === 3, "repaired again");
  assert.deepEqual(h.warnings, ["one", "two"]);
});

Deno.test("syncs keep the minimum period between them", async () => {
  await using h = new Harness(undefined, 100);
  await h.until(() => h.syncs.length === 1, "started");
  const started = performance.now();
  for (let i = 1; i <= 3; i++) {
    h.add(`s${i}`, `10.96.0.${i}`);
    await h.until(() => h.inForce.length === i, `service ${i}`);
  }
  assert.ok(performance.now() - started >= 180, "three syncs took two periods");
});

Deno.test("health checks are reported after every sync that succeeds, also when no rule changes", async () => {
  const check = (fields = {}) => service("a", "10.96.0.1", { healthCheckNodePort: 32100, ...fields });
  await using h = new Harness((h) => {
    h.backend.reject = () => h.failures < 1 ? new BackendError("EBUSY") : undefined;
    h.queue.upsert(check());
    h.loop.changed();
  });
  await h.until(() => h.healthChecks.length > 0, "told");
  assert.equal(h.failures, 1);
  assert.deepEqual(h.healthChecks, ["default/a"]);
  h.queue.upsert(check({ externalTrafficPolicy: "Local" }));
  h.loop.changed();
  await h.until(() => h.healthChecks.length === 2, "told again");
  assert.equal(h.syncs.length, 1);
});
