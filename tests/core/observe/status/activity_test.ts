import assert from "node:assert/strict";
import { Activity } from "../../../../core/observe/status/activity.ts";
import { EventRing, recordingLog } from "../../../../core/observe/status/events.ts";
import { silentLog } from "../log/silent_log.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

function recorded() {
  let now = START;
  const activity = new Activity(() => now);
  const texts = () => activity.events.newestFirst.map(({ kind, text }) => `${kind}: ${text}`);
  return { activity, texts, advance: (ms: number) => now += ms };
}

const sync = { full: false, seconds: 0.002, changes: 1, triggerTimes: [] };

Deno.test("the last sync, its reason and the lag of the changes that it put in force are known", () => {
  const { activity, texts, advance } = recorded();
  assert.equal(activity.lastSync, undefined);
  activity.synced({ ...sync, full: true, reason: "start" });
  advance(1000);
  activity.synced({ ...sync, triggerTimes: [{ time: START + 400 }, { time: START + 900 }] });
  assert.deepEqual(activity.lastSync, {
    at: "2026-01-01T00:00:01.000Z",
    seconds: 0.002,
    full: false,
    changes: 1,
  });
  assert.deepEqual(activity.lag, { at: "2026-01-01T00:00:01.000Z", maxSeconds: 0.6, changes: 2 });
  assert.deepEqual(texts(), ["full sync: 2.0 ms; reason: start"]);
});

Deno.test("repairs are counted, and the last ten are listed with their cause", () => {
  const { activity, texts } = recorded();
  for (let i = 1; i <= 12; i++) {
    const repaired = `table ip kube-proxy deleted by nft (pid ${i})`;
    activity.synced({ ...sync, full: true, reason: repaired, repaired });
  }
  const { count, last } = activity.repairs;
  assert.deepEqual([count, last.length, last[0]?.text], [
    12,
    10,
    "table ip kube-proxy deleted by nft (pid 12)",
  ]);
  assert.equal(texts()[0], "repair: table ip kube-proxy deleted by nft (pid 12); repaired in 2.0 ms");
});

Deno.test("a failure that repeats is one event, and is over after a success", () => {
  const { activity, texts } = recorded();
  activity.failed("EPERM");
  activity.failed("EPERM");
  assert.equal(activity.failure?.text, "EPERM");
  activity.synced(sync);
  assert.equal(activity.failure, undefined);
  activity.failed("EPERM");
  assert.deepEqual(texts(), ["failure: EPERM", "failure: EPERM"]);
});

Deno.test("only a source that was lost is reported as reachable again", () => {
  const { activity, texts } = recorded();
  activity.connected(true);
  activity.connected(false);
  activity.connected(true);
  activity.connected(true);
  assert.deepEqual(texts(), ["source: The source of objects is reachable again"]);
});

Deno.test("events are bounded in number and length, and numbered", () => {
  const events = new EventRing(() => START);
  for (let i = 0; i < 1000; i++) events.add("message", "error", "x".repeat(10_000));
  const { newestFirst } = events;
  assert.deepEqual([newestFirst.length, newestFirst[0]?.number, newestFirst[199]?.number], [200, 1000, 801]);
  assert.equal(newestFirst[0]?.text.length, 500);
});

Deno.test("warnings and errors of the log are events with their fields; other lines are not", () => {
  const events = new EventRing(() => START);
  const lines: string[] = [];
  const log = recordingLog({
    ...silentLog,
    info: (line) => lines.push(line),
    warn: (line) => lines.push(line),
  }, events);
  log.info("Synced", { changes: 1 });
  log.warn("Refused", {
    object: "default/<b>",
    cause: new Error("bad port"),
    list: [1, 2],
    nested: { a: 1 },
  });
  log.error("Failed");
  assert.deepEqual(lines, ["Synced", "Refused"]);
  assert.deepEqual(events.newestFirst.map(({ severity, text }) => [severity, text]), [
    ["error", "Failed"],
    ["warning", "Refused (object: default/<b>, cause: bad port, list: 1; 2, nested: …)"],
  ]);
});
