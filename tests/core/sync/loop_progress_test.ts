import { deepEqual, equal } from "node:assert/strict";
import { LoopProgress } from "../../../core/sync/loop_progress.ts";

class Clock {
  ms = 0;
  readonly progress = new LoopProgress(() => this.ms);

  after(ms: number): LoopProgress {
    this.ms += ms;
    return this.progress;
  }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("an idle loop is never stuck", () => {
  const clock = new Clock();
  equal(clock.after(1e9).isStuck(1000), false);
  clock.progress.queued();
  clock.progress.started();
  clock.progress.ended();
  equal(clock.after(1e9).isStuck(1000), false);
});

Deno.test("a sync that does not end makes the loop stuck", () => {
  const clock = new Clock();
  clock.progress.started();
  equal(clock.after(1000).isStuck(1000), false);
  equal(clock.after(1).isStuck(1000), true);
  clock.progress.ended();
  equal(clock.progress.isStuck(1000), false);
});

Deno.test("a change that no sync takes makes the loop stuck, also when more changes follow", () => {
  const clock = new Clock();
  clock.progress.queued();
  clock.after(900).queued();
  equal(clock.after(101).isStuck(1000), true);
  clock.progress.started();
  equal(clock.progress.isStuck(1000), false);
});

Deno.test("a change counts as tried at the end of the sync that took it", async () => {
  const { progress } = new Clock();
  const events: string[] = [];
  const note = (name: string) => progress.caughtUp().then(() => events.push(name));
  note("idle");
  await turn();
  deepEqual(events, ["idle"]);

  progress.started();
  note("in flight");
  progress.queued();
  note("queued");
  progress.ended();
  await turn();
  deepEqual(events, ["idle", "in flight"]);
  progress.started();
  progress.queued();
  await turn();
  equal(events.length, 2);
  progress.ended();
  await turn();
  deepEqual(events, ["idle", "in flight", "queued"]);
});
