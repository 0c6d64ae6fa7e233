import assert from "node:assert/strict";
import { createLog, type LogOptions } from "../../../core/observe/log.ts";

const noon = new Date(2025, 10, 20, 23, 10, 11).getTime() + 123.456;

function lines(options: Partial<LogOptions>, act: (log: ReturnType<typeof createLog>) => void): string {
  let written = "";
  act(createLog({
    format: "text",
    verbosity: 0,
    now: () => noon,
    pid: 4711,
    write: (line) => written += line,
    ...options,
  }));
  return written;
}

Deno.test("text lines have klog's header and quoted values", () => {
  assert.equal(
    lines({}, (log) => log.info("Synced", { changes: 3, mode: "nftables", full: true, families: ["IPv4"] })),
    'I1120 23:10:11.123456    4711] "Synced" changes=3 mode="nftables" full=true families=["IPv4"]\n',
  );
  assert.match(lines({}, (log) => log.error("No")), /^E1120 .*\] "No"\n$/);
  assert.match(lines({}, (log) => log.warn("Hm")), /^W1120 .*\] "Hm"\n$/);
});

Deno.test("a message with line breaks stays one line", () => {
  const written = lines({}, (log) => log.error("two\nlines", { err: new Error("a\nb"), name: 'say "x"' }));
  assert.equal(written.split("\n").length, 2);
  assert.match(written, /"two\\nlines" err="a\\nb" name="say \\"x\\""/);
});

Deno.test("information above the verbosity is not logged, errors always are", () => {
  const written = lines({ verbosity: 2 }, (log) => {
    log.info("two", {}, 2);
    log.info("three", {}, 3);
    log.error("error");
  });
  assert.match(written, /"two"[^]*"error"/);
  assert.doesNotMatch(written, /three/);
});

Deno.test("errors are logged with their cause, and odd values do not break a line", () => {
  const error = new Error("sync failed", { cause: new Error("EPERM") });
  const written = lines({}, (log) => log.error("No", { err: error, big: 7n, nothing: undefined }));
  assert.match(written, /err="sync failed: EPERM" big="7" nothing=undefined\n$/);
  const translated = new Error("no privilege: EPERM", { cause: new Error("EPERM") });
  assert.match(lines({}, (log) => log.error("No", { err: translated })), /err="no privilege: EPERM"\n$/);
});

Deno.test("JSON lines have Kubernetes' keys", () => {
  const written = lines({ format: "json" }, (log) => {
    log.info("Synced", { changes: 3 });
    log.error("No", { err: new Error("EPERM") });
  });
  assert.deepEqual(written.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { ts: noon, level: "info", msg: "Synced", v: 0, changes: 3 },
    { ts: noon, level: "error", msg: "No", err: "EPERM" },
  ]);
});
