import assert from "node:assert/strict";
import type { Service } from "../../../core/objects/objects.ts";
import { describeFrontend } from "../../../core/plan/plan.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { address, webPort } from "../plan/builders.ts";
import { service, slice, view } from "./objects.ts";

/** A queue whose warnings and informational lines are recorded. */
class Queue {
  readonly lines: string[] = [];
  /** Warnings for the owners of services. */
  readonly warnings: string[] = [];
  readonly queue = new PlanQueue("here", {
    error: () => {},
    warn: (message, fields) => void this.lines.push(`${message} ${JSON.stringify(fields)}`),
    info: (message, fields) => void this.lines.push(`${message} ${JSON.stringify(fields)}`),
  }, ({ namespace, name, note }) => void this.warnings.push(`${namespace}/${name}: ${note}`));

  constructor() {
    this.queue.setView(view);
  }

  /** Puts everything in force, in one batch. @returns the changes: the service and its frontends. */
  sync(...services: readonly Service[]): readonly string[] {
    for (const service of services) this.queue.upsert(service);
    const batch = this.queue.take();
    batch.accept(batch.changes);
    batch.close();
    return batch.changes.map(({ old, new: next }) => {
      const frontends = next?.frontends.map((frontend) => describeFrontend(frontend, next.protocol)) ?? [];
      return [next?.name ?? `-${old?.name}`, ...frontends].join(" ");
    });
  }
}

const external = { externalIPs: [address("198.51.100.1")] };

Deno.test("two services of one external IP lead to one warning, however often their pods change", () => {
  const queue = new Queue();
  queue.sync(service("first", "10.96.0.1", external), service("second", "10.96.0.2", external));
  for (let change = 0; change < 20; change++) {
    for (const name of ["first", "second"]) queue.queue.upsert(slice(name, `10.1.0.${change + 1}`));
    queue.sync();
  }
  assert.deepEqual(queue.lines.splice(0), [
    "A frontend belongs to another service " +
    '{"conflict":"198.51.100.1:80/TCP of default/second:http is held by default/first:http"}',
  ]);
  assert.deepEqual(queue.warnings, [
    "default/second: 198.51.100.1:80/TCP of default/second:http is held by default/first:http",
  ]);
  assert.equal(queue.queue.conflicts, 1);
  queue.sync(service("first", "10.96.0.1"));
  assert.deepEqual(queue.lines, ['The service has all its frontends now {"service":"default/second"}']);
  assert.equal(queue.queue.conflicts, 0);
});

Deno.test("a ClusterIP takes its address from another service's external IP, which loses it first", () => {
  const queue = new Queue();
  const taken = { externalIPs: [address("10.96.0.50")] };
  assert.deepEqual(queue.sync(service("evil", "10.96.0.1", { ...taken, created: "2026-01-01T00:00:00Z" })), [
    "evil 10.96.0.1:80/TCP 10.96.0.50:80/TCP",
  ]);
  assert.deepEqual(queue.sync(service("victim", "10.96.0.50", { created: "2026-02-01T00:00:00Z" })), [
    "evil 10.96.0.1:80/TCP",
    "victim 10.96.0.50:80/TCP",
  ]);
  const [warning] = queue.lines;
  assert.match(
    warning ?? "",
    /of default\/evil:http is refused because 10\.96\.0\.50 is the ClusterIP of default\/victim/,
  );
  assert.deepEqual(queue.sync(service("evil", "10.96.0.1", { ...taken, affinitySeconds: 10 })), [
    "evil 10.96.0.1:80/TCP",
  ]);
  queue.queue.delete({ kind: "Service", namespace: "default", name: "victim" });
  assert.deepEqual(queue.sync(), ["-victim", "evil 10.96.0.1:80/TCP 10.96.0.50:80/TCP"]);
});

Deno.test("services that are planned together do not depend on their order: the more trusted one wins", () => {
  const evil = service("evil", "10.96.0.1", {
    externalIPs: [address("10.96.0.50")],
    created: "2026-01-01T00:00:00Z",
  });
  const victim = service("victim", "10.96.0.50", { created: "2026-02-01T00:00:00Z" });
  for (const services of [[evil, victim], [victim, evil]]) {
    assert.deepEqual(new Queue().sync(...services).toSorted(), [
      "evil 10.96.0.1:80/TCP",
      "victim 10.96.0.50:80/TCP",
    ]);
  }
});

Deno.test("a frontend that becomes free goes to the service that waits for it, not to a newer one", () => {
  const queue = new Queue();
  const at = (month: number) => ({ created: `2026-0${month}-01T00:00:00Z` });
  queue.sync(
    service("holder", "10.96.0.1", { ...external, ...at(1) }),
    service("waiting", "10.96.0.2", { ...external, ...at(2) }),
  );
  queue.sync(service("holder", "10.96.0.1", at(1)), service("new", "10.96.0.3", { ...external, ...at(3) }));
  const holders = [...queue.queue.applied.values()].filter(({ frontends }) => frontends.length === 2);
  assert.deepEqual(holders.map(({ name }) => name), ["waiting"]);
});

Deno.test("many conflicts of one service are one line", () => {
  const ports = Array.from(
    { length: 500 },
    (_, index) => ({ ...webPort, name: `p${index}`, port: 1000 + index }),
  );
  const queue = new Queue();
  queue.sync(service("first", "10.96.0.1", { ...external, ports }));
  queue.sync(service("second", "10.96.0.2", { ...external, ports }));
  assert.equal(queue.lines.length, 1);
  assert.match(queue.lines[0] ?? "", /"more":499/);
  assert.equal(queue.warnings.length, 1);
  assert.match(queue.warnings[0] ?? "", /is held by default\/first:p0, and 499 more$/);
  assert.equal(queue.queue.conflicts, 500);
});

Deno.test("a service with many frontends loses the one that another service takes, also when its pods change later", () => {
  const queue = new Queue();
  const addresses = Array.from({ length: 100 }, (_, n) => `203.0.113.${n}`);
  const has = (batch: readonly string[]) => batch.join(" ").includes("203.0.113.7:80");
  queue.sync(service("many", "10.96.0.1", { externalIPs: addresses.map(address) }));
  queue.queue.upsert(slice("many", "10.1.0.1"));
  assert.ok(has(queue.sync()));
  assert.deepEqual(queue.sync(service("other", "203.0.113.7")).map((text) => text.split(" ")[0]), [
    "many",
    "other",
  ]);
  for (const endpoint of ["10.1.0.2", "10.1.0.3"]) {
    queue.queue.upsert(slice("many", endpoint));
    assert.ok(!has(queue.sync()));
  }
  queue.queue.delete({ kind: "Service", namespace: "default", name: "other" });
  assert.ok(has(queue.sync()));
});
