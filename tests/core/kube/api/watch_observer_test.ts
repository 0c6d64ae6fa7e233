import { deepEqual, equal, ok } from "node:assert/strict";
import type { WatchObserver } from "../../../../core/kube/api/reflector.ts";
import { rawService } from "../raw_objects.ts";
import { everything, withSource } from "./running_source.ts";

/** Counts what happens to Services. */
class Counts implements WatchObserver {
  readonly of = { started: 0, listed: 0, watching: 0, heard: 0, failed: 0 };
  isWaiting = false;
  readonly #count = (what: keyof Counts["of"]) => (resource: string) => {
    if (resource === "services") this.of[what]++;
  };
  readonly started = this.#count("started");
  readonly listed = this.#count("listed");
  readonly watching = this.#count("watching");
  readonly heard = this.#count("heard");
  readonly failed = this.#count("failed");
  waiting(resource: string, isWaiting: boolean): void {
    if (resource === "services") this.isWaiting = isWaiting;
  }
}

Deno.test("lists, watches, events and failures of a collection are reported", async () => {
  const watches = new Counts();
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    // The streaming list is a watch whose events are one Service and the bookmark at the end.
    const { heard: first, ...counts } = watches.of;
    deepEqual(counts, { started: 1, listed: 1, watching: 1, failed: 0 });
    ok(first >= 2);
    const before = watches.of.heard;
    server.put(rawService("more"));
    await sink.until(() => watches.of.heard > before, "event");
    server.breakWatches();
    await sink.until(() => watches.of.watching === 2, "resumed");
    const { heard: _, ...later } = watches.of;
    deepEqual(later, { started: 1, listed: 1, watching: 2, failed: 1 });
    equal(watches.isWaiting, false);
  }, { watches });
});

Deno.test("a collection waits while the server cannot be reached", async () => {
  const watches = new Counts();
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    server.behaviour.refuse.set("services", { status: 500, message: "broken" });
    server.breakWatches();
    await sink.until(() => watches.isWaiting, "waiting");
  }, { watches, timing: { firstRetryMs: 1000, maxRetryMs: 1000 } });
});
