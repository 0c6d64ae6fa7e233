import assert from "node:assert/strict";
import { slowness } from "../../lab/pace.ts";
import { ConntrackReconciler } from "../../../backends/conntrack/reconciler.ts";
import type { Flow } from "../../../backends/conntrack/flow.ts";
import type { DumpFilter } from "../../../backends/conntrack/messages.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Log } from "../../../core/observe/log.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";
import { addressOf, planOf, type PlanText, settingsOf } from "../plans.ts";
import { flowFrom, type FlowText } from "./flows.ts";

/** A reconciler with a list as the conntrack table, and a few calls as the sync loop. */
class Harness {
  readonly plans = new Map<PlanKey, ServicePortPlan>();
  readonly table = new Set<FlowText>();
  readonly dumps: string[] = [];
  readonly metrics: string[] = [];
  readonly warnings: string[] = [];
  /** The kernel's error for the next dump. */
  error: KernelError | undefined;
  gate: Promise<void> = Promise.resolve();
  running = 0;
  readonly settings = [settingsOf("IPv4", { nodePorts: [addressOf("192.0.2.10")] }), settingsOf("IPv6")];
  readonly reconciler: ConntrackReconciler;

  constructor() {
    const log: Log = {
      error: () => assert.fail(),
      warn: (message, fields) => this.warnings.push(`${message}: ${fields?.["error"]}`),
      info() {},
    };
    this.reconciler = new ConntrackReconciler({
      log,
      relaySockets: () => [],
      nodeAddresses: () => ["127.0.0.1", "192.0.2.10", "192.0.2.11", "2001:db8::10"].map(addressOf),
      observer: {
        conntrackReconciled: ({ family, deleted }) => this.metrics.push(`${family} ${deleted}`),
        conntrackFailed: (family) => this.metrics.push(`${family} failed`),
      },
      sweep: (filter, isStale) => this.#sweep(filter, isStale),
    });
  }

  change(text: PlanText, remove = false): void {
    const plan = planOf(text);
    const old = this.plans.get(plan.key);
    if (remove) this.plans.delete(plan.key);
    else this.plans.set(plan.key, plan);
    this.synced([{ key: plan.key, old, new: remove ? undefined : plan }], false);
  }

  synced(changes: Parameters<ConntrackReconciler["synced"]>[0]["changes"], full: boolean): void {
    this.reconciler.synced({ desired: { settings: this.settings, plans: this.plans }, changes, full });
  }

  /** The dumps since the last call. */
  async dumped(): Promise<string[]> {
    await this.reconciler.idle();
    return this.dumps.splice(0);
  }

  get remaining(): string[] {
    return [...this.table].map(({ to, by = to }) => `${to} ${by}`);
  }

  async #sweep(filter: DumpFilter, isStale: (flow: Flow) => boolean) {
    const family = filter.family === AF_INET ? "v4" : filter.family === AF_INET6 ? "v6" : "?";
    const protocol = { [IPPROTO_UDP]: "UDP", [IPPROTO_TCP]: "TCP" }[filter.protocol ?? 0];
    this.dumps.push(`${family} ${protocol}${filter.status === undefined ? "" : " unreplied"}`);
    assert.equal(++this.running, 1, "one pass at a time");
    await this.gate;
    this.running--;
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) throw error;
    let deleted = 0;
    for (const text of this.table) {
      const flow = flowFrom(text);
      if (flow.family !== filter.family || flow.protocol !== filter.protocol || !isStale(flow)) continue;
      this.table.delete(text);
      deleted++;
    }
    return { examined: this.table.size, deleted, rejection: undefined };
  }
}

const dns: PlanText = {
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  nodePort: 30053,
  endpoints: ["10.1.0.1:53", "10.1.0.2:53"],
};
const web: PlanText = { clusterIP: "10.96.0.20:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] };

function kernelError(name: string): KernelError {
  return new KernelError("read the conntrack table", errnoOf(name));
}

Deno.test("a removed UDP endpoint causes one dump of its family", async () => {
  const h = new Harness();
  h.change(dns);
  assert.deepEqual(await h.dumped(), ["v4 UDP"]);
  h.table.add({ to: "10.96.0.10:53", by: "10.1.0.1:53" }).add({ to: "10.96.0.10:53", by: "10.1.0.2:53" })
    .add({ to: "192.0.2.10:30053", by: "10.1.0.2:53" }).add({
      to: "203.0.113.1:30053",
      by: "203.0.113.1:30053",
    });
  h.change({ ...dns, endpoints: ["10.1.0.1:53"] });
  assert.deepEqual(await h.dumped(), ["v4 UDP"]);
  assert.deepEqual(h.remaining, ["10.96.0.10:53 10.1.0.1:53", "203.0.113.1:30053 203.0.113.1:30053"]);
  assert.deepEqual(h.metrics, ["IPv4 0", "IPv4 2"]);
});

Deno.test("additional endpoints, and the end of a TCP service, cause no dump", async () => {
  const h = new Harness();
  h.change(web);
  h.change({ ...dns, endpoints: ["10.1.0.1:53"] });
  assert.deepEqual((await h.dumped()).sort(), ["v4 TCP unreplied", "v4 UDP"]);
  h.change({ ...web, endpoints: [...web.endpoints ?? [], "10.1.0.3:80"] });
  h.change(web, true);
  h.change(dns);
  h.synced([], false);
  assert.deepEqual(await h.dumped(), []);
});

Deno.test("a TCP attempt at a removed endpoint is removed, and a connection to it stays", async () => {
  const h = new Harness();
  h.change(web);
  await h.dumped();
  h.table.add({ to: "10.96.0.20:80", protocol: "TCP", by: "10.1.0.2:80" })
    .add({ to: "10.96.0.20:80", protocol: "TCP", by: "10.1.0.2:80", replied: false })
    .add({ to: "10.96.0.20:80", protocol: "TCP", by: "10.1.0.1:80", replied: false });
  h.change({ ...web, endpoints: ["10.1.0.1:80"] });
  assert.deepEqual(await h.dumped(), ["v4 TCP unreplied"]);
  assert.deepEqual(h.remaining, ["10.96.0.20:80 10.1.0.2:80", "10.96.0.20:80 10.1.0.1:80"]);
});

Deno.test("a pass that concerns only TCP waits for further TCP changes, but not when UDP changes", async () => {
  const h = new Harness();
  h.change(web);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(h.dumps, []);
  h.change({ ...web, name: "other", clusterIP: "10.96.0.21:80" });
  assert.deepEqual(await h.dumped(), ["v4 TCP unreplied"]);
  const started = performance.now();
  h.change({ ...web, name: "third", clusterIP: "10.96.0.22:80" });
  h.change(dns);
  assert.deepEqual(await h.dumped(), ["v4 UDP", "v4 TCP unreplied"]);
  assert.ok(performance.now() - started < 90 * slowness);
});

Deno.test("changes during a pass cause one more pass for all of them", async () => {
  const h = new Harness();
  h.change(dns);
  await h.dumped();
  const { promise, resolve } = Promise.withResolvers<void>();
  h.gate = promise;
  h.change({ ...dns, endpoints: ["10.1.0.1:53"] });
  await Promise.resolve().then(() => {}).then(() => {});
  assert.equal(h.dumps.length, 1);
  h.change(dns);
  h.change({ ...dns, endpoints: ["10.1.0.2:53"] });
  h.change({ ...dns, endpoints: [], internal: "reject", external: "reject" });
  h.table.add({ to: "10.96.0.10:53", by: "10.1.0.2:53" });
  resolve();
  assert.deepEqual(await h.dumped(), ["v4 UDP", "v4 UDP"]);
  assert.deepEqual(h.remaining, []);
});

Deno.test("flows are judged by the plan in force, not by the plan of the change", async () => {
  const h = new Harness();
  h.change(dns);
  await h.dumped();
  const { promise, resolve } = Promise.withResolvers<void>();
  h.gate = promise;
  h.change({ ...dns, endpoints: ["10.1.0.1:53"] });
  h.change({ ...dns, endpoints: ["10.1.0.1:53", "10.1.0.3:53"] });
  h.table.add({ to: "10.96.0.10:53", by: "10.1.0.3:53" });
  resolve();
  await h.dumped();
  assert.deepEqual(h.remaining, ["10.96.0.10:53 10.1.0.3:53"]);
});

Deno.test("a restart examines all frontends once, and keeps flows to serving endpoints", async () => {
  const h = new Harness();
  for (const text of [dns, web]) h.plans.set(planOf(text).key, planOf(text));
  h.table.add({ to: "10.96.0.10:53", by: "10.1.0.1:53" }).add({ to: "10.96.0.10:53", by: "10.1.0.9:53" })
    .add({ to: "10.96.0.99:53", by: "10.1.0.9:53" }).add({ to: "192.0.2.10:30053", by: "192.0.2.10:30053" })
    .add({ to: "10.96.0.20:80", protocol: "TCP", by: "10.1.0.9:80" })
    .add({ to: "10.96.0.20:80", protocol: "TCP", replied: false });
  h.synced([], true);
  assert.deepEqual(await h.dumped(), ["v4 UDP", "v4 TCP unreplied"]);
  assert.deepEqual(h.remaining, [
    "10.96.0.10:53 10.1.0.1:53",
    // A flow of a service that this proxy does not know.
    "10.96.0.99:53 10.1.0.9:53",
    "10.96.0.20:80 10.1.0.9:80",
  ]);
});

Deno.test("node ports on all addresses cover the addresses of the interfaces, but not loopback", async () => {
  const h = new Harness();
  h.settings[0] = settingsOf("IPv4", { nodePorts: "all" });
  h.table.add({ to: "192.0.2.11:30053" }).add({ to: "127.0.0.1:30053" }).add({ to: "192.0.2.12:30053" });
  h.change(dns);
  await h.dumped();
  assert.deepEqual(h.remaining, ["127.0.0.1:30053 127.0.0.1:30053", "192.0.2.12:30053 192.0.2.12:30053"]);
});

Deno.test("a failed pass is reported, and the next pass examines all frontends", async () => {
  const h = new Harness();
  h.change(dns);
  await h.dumped();
  h.metrics.length = 0;
  h.error = kernelError("ENOBUFS");
  h.table.add({ to: "10.96.0.10:53", by: "10.1.0.2:53" });
  h.change({ ...dns, endpoints: ["10.1.0.1:53"] });
  await h.dumped();
  assert.deepEqual(h.metrics, ["IPv4 failed", "IPv4 0"]);
  assert.match(h.warnings.join(), /may remain.*ENOBUFS/);
  h.change({ ...dns, name: "other", clusterIP: "10.96.0.11:53", nodePort: 30054 });
  await h.dumped();
  assert.deepEqual(h.remaining, []);
});

Deno.test("without the privilege or the kernel's support, it warns once and is disabled", async () => {
  for (const name of ["EPERM", "EINVAL", "EOPNOTSUPP"]) {
    const h = new Harness();
    h.error = kernelError(name);
    h.synced([], true);
    h.change(dns);
    h.change(dns, true);
    assert.equal((await h.dumped()).length, 1);
    assert.equal(h.warnings.length, 1);
    assert.match(h.warnings.join(), new RegExp(`not removed.*docs/conntrack.md.*${name}`));
  }
});
