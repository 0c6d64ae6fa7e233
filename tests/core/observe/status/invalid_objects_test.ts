import assert from "node:assert/strict";
import { InvalidObjects } from "../../../../core/observe/status/invalid_objects.ts";

const service = (name: string) => ({ kind: "Service", namespace: "default", name } as const);

Deno.test("an object is invalid since the first time, for the last reason, until it is corrected", () => {
  const objects = new InvalidObjects();
  objects.add(service("web"), "Service default/web: spec.ports: missing", "2026-01-01T00:00:00Z");
  objects.add(service("web"), "Service default/web: spec.ports[0].port: 0", "2026-01-01T00:01:00Z");
  objects.add(service("other"), "spec.clusterIP: bad", "2026-01-01T00:02:00Z");
  assert.equal(objects.total, 2);
  assert.deepEqual(objects.first(1), [
    { object: "Service default/web", reason: "spec.ports[0].port: 0", since: "2026-01-01T00:00:00Z" },
  ]);
  objects.remove(service("web"));
  objects.remove(service("never-seen"));
  assert.deepEqual(objects.first(9).map(({ object }) => object), ["Service default/other"]);
});

Deno.test("memory is bounded: objects beyond a thousand are counted, and long reasons are cut", () => {
  const objects = new InvalidObjects();
  for (let n = 0; n < 1500; n++) objects.add(service(`s${n}`), "x".repeat(10_000), "2026-01-01T00:00:00Z");
  assert.equal(objects.total, 1500);
  assert.equal(objects.first(2000).length, 1000);
  assert.ok((objects.first(1)[0]?.reason.length ?? 0) <= 500);
  for (let n = 0; n < 1500; n++) objects.remove(service(`s${n}`));
  assert.equal(objects.total, 0);
});
