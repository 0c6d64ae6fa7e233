import assert from "node:assert/strict";
import { createLog, type LogOptions } from "../../../../core/observe/log.ts";

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

Deno.test("a change of the verbosity counts from the next line on", () => {
  const written: string[] = [];
  const options: LogOptions = { format: "text", verbosity: 0, write: (line) => written.push(line) };
  const log = createLog(options);
  log.info("one", {}, 2);
  options.verbosity = 2;
  log.info("two", {}, 2);
  options.verbosity = 1;
  log.info("three", {}, 2);
  assert.equal(written.length, 1);
  assert.match(written[0] ?? "", /two/);
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

Deno.test("a long message and a long value are cut, with the number of characters that are missing", () => {
  const written = lines(
    {},
    (log) => log.error("m".repeat(5000), { err: new Error("e".repeat(300_000)), after: 1 }),
  );
  assert.match(
    written,
    /\] "m{2048}… \(2952 more characters\)" err="e{2048}… \(297952 more characters\)" after=1\n$/,
  );
});

Deno.test("a value is not cut between the halves of a surrogate pair", () => {
  const written = lines({ format: "json" }, (log) => log.info("x", { value: "a" + "😀".repeat(2000) }));
  const { value } = JSON.parse(written);
  assert.equal(value, "a" + "😀".repeat(1023) + "… (1954 more characters)");
  assert.ok(value.isWellFormed());
});

Deno.test("long arrays, many fields and nested values are cut", () => {
  const many = Array.from({ length: 1000 }, (_, index) => index);
  const fields = Object.fromEntries(many.map((index) => [`f${index}`, index]));
  const line = (value: Record<string, unknown>) =>
    JSON.parse(lines({ format: "json" }, (log) => log.info("x", value)));
  assert.deepEqual(line({ many }).many, [...many.slice(0, 32), "… (968 more)"]);
  assert.deepEqual(line({ fields }).fields, {
    ...Object.fromEntries(Object.entries(fields).slice(0, 32)),
    "…": "968 more",
  });
  assert.equal(Object.keys(line(fields)).length, 4 + 32 + 1);
  assert.deepEqual(line({ deep: [[[[["x"]]]]] }).deep, [[["…"]]]);
});

Deno.test("a line has a limit, however its values are nested", () => {
  const texts = new Array<string>(100).fill("x".repeat(2000));
  assert.ok(lines({}, (log) => log.info("x", { a: texts, b: [texts, texts], c: { texts } })).length < 20_000);
  const numbers = new Array<number>(100).fill(Math.PI);
  const nested = [1, 2, 3].reduce<unknown[]>((inner) => new Array(100).fill(inner), numbers);
  assert.ok(lines({}, (log) => log.info("x", { nested })).length < 60_000);
});

Deno.test("nothing that is logged throws", () => {
  const loop: Record<string, unknown> = { name: "loop" };
  loop.self = loop;
  const first = new Error("first");
  first.cause = new Error("second", { cause: first });
  const values = {
    loop,
    first,
    big: { n: 7n },
    symbol: Symbol("s"),
    call: () => 1,
    date: new Date(0),
    list: [new Error("inner")],
    odd: Object.assign(new Error(), { message: 7 }),
  };
  for (const format of ["text", "json"] as const) {
    const written = lines({ format }, (log) => log.info("x", values));
    for (const part of [/loop/, /first: second/, /1970-01-01T/, /inner/, /Symbol\(s\)/]) {
      assert.match(written, part);
    }
  }
  const hostile = {
    get field() {
      throw new Error("no");
    },
  };
  assert.match(
    lines({}, (log) => log.error("the message", { hostile })),
    /"the message" unreadableFields=true\n$/,
  );
});
