import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { Mutex } from "../../../core/async/mutex.ts";

Deno.test("work runs one at a time, in the order of the calls", async () => {
  const mutex = new Mutex();
  const steps: string[] = [];
  const work = (name: string, ms: number) =>
    mutex.run(async () => {
      steps.push(`${name} starts`);
      await delay(ms);
      steps.push(`${name} ends`);
      return name;
    });
  assert.deepEqual(await Promise.all([work("a", 10), work("b", 0)]), ["a", "b"]);
  assert.deepEqual(steps, ["a starts", "a ends", "b starts", "b ends"]);
});

Deno.test("work that fails is reported to its caller alone", async () => {
  const mutex = new Mutex();
  const failing = mutex.run(() => Promise.reject(new Error("bad")));
  const next = mutex.run(() => Promise.resolve("good"));
  await assert.rejects(failing, /bad/);
  assert.equal(await next, "good");
});
