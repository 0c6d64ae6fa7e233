import assert from "node:assert/strict";
import { RetrySchedule } from "../../../core/sync/retry_schedule.ts";
import { planService } from "../../../core/plan/planner.ts";
import { service, view } from "./objects.ts";

function change(affinitySeconds = 0) {
  const [plan] = planService(service("a", "10.96.0.1", { affinitySeconds }), [], view.context);
  assert.ok(plan);
  return { key: plan.key, old: undefined, new: plan };
}

Deno.test("the delay starts at one second, doubles and ends at five minutes", () => {
  const schedule = new RetrySchedule();
  const delays = Array.from({ length: 12 }, () => {
    schedule.add(change(), "default/a", 1000);
    return (schedule.nextMs - 1000) / 1000;
  });
  assert.deepEqual(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
});

Deno.test("a plan is postponed until it is due or differs", () => {
  const schedule = new RetrySchedule();
  const { key, new: plan } = change();
  schedule.add(change(), "default/a", 0);
  assert.equal(schedule.postpones(key, plan, 999), true);
  assert.equal(schedule.postpones(key, change(10).new, 999), false);
  assert.equal(schedule.postpones(key, undefined, 999), false);
  assert.deepEqual([...schedule.dueServices(999)], []);
  assert.deepEqual([...schedule.dueServices(1000)], ["default/a"]);
  assert.equal(schedule.postpones(key, plan, 1000), false);
});

Deno.test("a family differs since its oldest rejection, which retries and other plans do not renew", () => {
  const schedule = new RetrySchedule();
  const rejected = change();
  assert.equal(schedule.sinceMs("IPv4"), undefined);
  schedule.add(rejected, "default/a", 1000);
  schedule.add(rejected, "default/a", 2000);
  schedule.add({ ...rejected, new: change(10).new }, "default/a", 3000);
  assert.equal(schedule.sinceMs("IPv4"), 1000);
  assert.equal(schedule.sinceMs("IPv6"), undefined);
  schedule.delete(rejected.key);
  assert.equal(schedule.sinceMs("IPv4"), undefined);
});

Deno.test("a rejected plan that is in force after all is not tried again", () => {
  const schedule = new RetrySchedule();
  const rejected = change();
  schedule.add(rejected, "default/a", 0);
  schedule.deleteApplied(new Map([[rejected.key, change(10).new]]));
  assert.equal(schedule.nextMs, 1000);
  schedule.deleteApplied(new Map([[rejected.key, rejected.new]]));
  assert.equal(schedule.nextMs, Infinity);
});
