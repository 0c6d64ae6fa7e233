import assert from "node:assert/strict";
import { Intake } from "../../../core/sync/intake.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { silentLog } from "../observe/silent_log.ts";
import { service, view } from "./objects.ts";

Deno.test("a node whose addresses cannot be read is read again until it can, and reported once", async () => {
  const queue = new PlanQueue("here", silentLog);
  const logged: string[] = [];
  let failures = 0;
  let areReadable = false;
  const tooManyFiles = () => {
    failures++;
    throw new Error("Too many open files (os error 24)");
  };
  const intake = new Intake({
    queue,
    loop: { changed() {}, reconcile() {} },
    observer: { received() {}, eligible() {}, connected() {} },
    log: { ...silentLog, error: (message) => logged.push(message), info: (message) => logged.push(message) },
    view: () => areReadable ? view : tooManyFiles(),
    retryMs: 1,
  });
  let isInitialised = false;
  intake.initialised.then(() => isInitialised = true);
  intake.upsert(service("a", "10.96.0.1"));
  intake.synced();
  const deadline = performance.now() + 30_000;
  while (failures < 3 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 1));
  intake.interfacesChanged();
  assert.ok(failures > 3);
  assert.equal(isInitialised, false, "nothing is programmed for unknown addresses");
  areReadable = true;
  await intake.initialised;
  assert.equal(queue.view.nodePortAddresses, view.nodePortAddresses);
  assert.match(logged[0] ?? "", /cannot be read; the last ones stay in force/);
  assert.deepEqual(logged.filter((message) => /cannot/.test(message)).length, 1);
  assert.ok(logged.includes("The addresses of this node can be read again"));
});
