import assert from "node:assert/strict";
import { BackendError } from "../../../core/backend/contract.ts";
import { observe } from "../../../core/commands/run/observer.ts";
import { HealthCheckPorts } from "../../../core/observe/health/health_check_ports.ts";
import { ProxyHealth } from "../../../core/observe/health/health.ts";
import { Activity } from "../../../core/observe/status/activity.ts";
import { Metrics } from "../../../core/observe/metrics/metrics.ts";
import { SyncFailures } from "../../../core/observe/metrics/sync_metrics.ts";
import { StatusLine } from "../../../core/observe/service_manager/status_line.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import type { ServiceWarning } from "../../../core/source.ts";
import type { IntakeObserver } from "../../../core/sync/intake.ts";
import { LoopProgress } from "../../../core/sync/loop_progress.ts";
import { SyncLoop, type SyncObserver } from "../../../core/sync/sync_loop.ts";
import { silentLog } from "../observe/log/silent_log.ts";
import { MapBackend, type Reject, rejectServices } from "./kernel.ts";
import { service, slice, view } from "./objects.ts";

const TIMEOUT_MS = 60_000;

/** The parts between the backend and /healthz, with a clock that the test moves ahead. */
class Harness implements AsyncDisposable {
  readonly backend = new MapBackend();
  readonly queue = new PlanQueue("here", silentLog);
  readonly health: ProxyHealth;
  readonly loop: SyncLoop;
  readonly observer: SyncObserver & IntakeObserver;
  readonly warnings: ServiceWarning[] = [];
  /** Time that the clock is ahead. */
  aheadMs = 0;
  readonly #healthCheckPorts: HealthCheckPorts;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(reject: Reject) {
    this.backend.reject = reject;
    this.queue.setView(view);
    this.health = new ProxyHealth({
      families: ["IPv4"],
      timeoutMs: TIMEOUT_MS,
      eligible: true,
      rejectedSince: (family) => this.queue.rejectedSince(family),
      monotonic: () => performance.now() + this.aheadMs,
    });
    this.#healthCheckPorts = new HealthCheckPorts({ isHealthy: () => this.health.healthy, log: silentLog });
    const metrics = new Metrics();
    this.observer = observe({
      families: ["IPv4"],
      metrics,
      syncFailures: new SyncFailures(metrics.registry, [], ["IPv4"]),
      health: this.health,
      healthCheckPorts: this.#healthCheckPorts,
      queue: this.queue,
      progress: new LoopProgress(),
      status: new StatusLine({
        mode: "nftables",
        source: "API server",
        servicePorts: () => this.queue.applied.size,
        isRejecting: () => false,
        changed: () => {},
      }),
      activity: new Activity(),
      warn: (warning) => this.warnings.push(warning),
      bulkDone: () => {},
    });
    this.loop = new SyncLoop({
      backend: this.backend,
      queue: this.queue,
      observer: this.observer,
      log: silentLog,
      minSyncPeriodMs: 0,
      syncPeriodMs: 5,
    });
    this.health.updated("IPv4");
    this.#running = this.loop.run(this.#stop.signal);
  }

  add(name: string, clusterIP: string): void {
    this.queue.upsert(service(name, clusterIP));
    this.queue.upsert(slice(name, "10.1.0.1"));
    this.loop.changed();
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (!condition()) {
      assert.ok(performance.now() < deadline, `still not: ${what}; calls: ${this.backend.calls.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async [Symbol.asyncDispose]() {
    this.#stop.abort();
    await this.#running;
    await this.#healthCheckPorts[Symbol.asyncDispose]();
  }
}

Deno.test("a kernel that rejects every service one by one makes the proxy unhealthy, until it accepts them", async () => {
  await using h = new Harness(() => undefined);
  await h.until(() => h.backend.calls.length === 1, "started");
  h.backend.reject = (plans) => plans.length === 0 ? undefined : new BackendError("EOPNOTSUPP");
  for (let i = 1; i <= 20; i++) h.add(`s${i}`, `10.96.0.${i}`);
  await h.until(() => h.queue.rejectedSince("IPv4") !== undefined, "rejected");
  assert.equal(h.health.healthz().ok, true, "not for long yet");
  h.aheadMs = TIMEOUT_MS;
  assert.equal(h.health.healthz().ok, false);
  h.backend.reject = () => undefined;
  await h.until(() => h.backend.inForce.size === 20, "accepted");
  await h.until(() => h.health.healthz().ok, "healthy");
});

Deno.test("one rejected service makes the proxy unhealthy until it is gone, but does not kill it", async () => {
  await using h = new Harness(rejectServices(["bad"], { named: true }));
  h.add("good", "10.96.0.1");
  h.add("bad", "10.96.0.2");
  await h.until(() => h.backend.inForce.size === 1 && !h.queue.waiting.services, "the good one in force");
  h.aheadMs = TIMEOUT_MS;
  assert.deepEqual([h.health.healthz().ok, h.health.livez().ok], [false, true]);
  h.queue.delete({ kind: "Service", namespace: "default", name: "bad" });
  h.loop.changed();
  await h.until(() => h.health.healthz().ok, "healthy");
});

Deno.test("a first sync that never succeeds makes the proxy unhealthy, also without services", async () => {
  await using h = new Harness(() => new BackendError("EPERM"));
  await h.until(() => h.backend.calls.length > 2, "tried several times");
  h.aheadMs = TIMEOUT_MS;
  assert.deepEqual([h.health.healthz().ok, h.health.livez().ok], [false, false]);
});

Deno.test("the owner of a Service that the kernel rejects is told what it said", async () => {
  await using h = new Harness(rejectServices(["bad"], { named: true }));
  h.add("bad", "10.96.0.2");
  await h.until(() => h.warnings.length > 0, "told");
  const [{ note, ...warning } = { note: "" }] = h.warnings;
  assert.deepEqual(warning, {
    namespace: "default",
    name: "bad",
    reason: "RejectedByKernel",
    action: "ProgramService",
  });
  assert.match(note, /^the kernel rejected service port default\/bad:http: ./);
});

Deno.test("the owner of an invalid Service is told what is wrong; other objects have no owner to tell", async () => {
  await using h = new Harness(() => undefined);
  const why = "spec.ports: missing; a Service needs at least one";
  const ref = { namespace: "default", name: "web" };
  h.observer.invalid({ ref: { kind: "Service", ...ref }, why, isInvalid: true });
  h.observer.invalid({ ref: { kind: "EndpointSlice", ...ref }, why, isInvalid: true });
  assert.deepEqual(h.warnings, [{ ...ref, reason: "InvalidService", action: "ReadService", note: why }]);
});
