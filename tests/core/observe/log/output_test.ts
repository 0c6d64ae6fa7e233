import assert from "node:assert/strict";
import { createLog, type Log, type LogOptions } from "../../../../core/observe/log.ts";
import { type LogOutputOptions, QueuedLogOutput } from "../../../../core/observe/log/output.ts";

/** A reader of the log that can stop reading, and fail. */
class Stream {
  written = "";
  writes = 0;
  failure: Error | undefined;
  /** Most bytes taken by one write. */
  most = Infinity;
  #released: PromiseWithResolvers<void> | undefined;

  block(): void {
    this.#released = Promise.withResolvers();
  }

  release(): void {
    this.#released?.resolve();
    this.#released = undefined;
  }

  readonly write = async (bytes: Uint8Array): Promise<number> => {
    this.writes++;
    await this.#released?.promise;
    if (this.failure !== undefined) throw this.failure;
    const taken = bytes.slice(0, this.most);
    this.written += new TextDecoder().decode(taken);
    return taken.length;
  };

  /** Waits until it was written. */
  async has(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.written)) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Messages of the lines so far. */
  get messages(): string[] {
    return [...this.written.matchAll(/\] "([^"]*)"/g)].map(([, message]) => message ?? "");
  }
}

function logTo(
  stream: Stream,
  options: Partial<LogOutputOptions> = {},
  format: LogOptions["format"] = "text",
): { readonly log: Log; readonly output: QueuedLogOutput } {
  const output = new QueuedLogOutput({ write: stream.write, reportMs: 1, ...options });
  const log = createLog({ format, verbosity: 0, write: (line, severity) => output.write(line, severity) });
  output.reportTo(log);
  return { log, output };
}

/** 100 lines of about 150 bytes. */
function logMany(log: Log, severity: "info" | "warn" | "error"): void {
  for (let index = 0; index < 100; index++) log[severity](`${severity} ${index} ${"x".repeat(100)}`);
}

const DISK_FULL = new Error("No space left on device (os error 28)");

Deno.test("lines are written in order, and those that come during a write are written together", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  for (let index = 0; index < 50; index++) log.info(`line ${index}`);
  await output.flush();
  assert.deepEqual(stream.messages, Array.from({ length: 50 }, (_, index) => `line ${index}`));
  assert.equal(stream.writes, 2);
  assert.deepEqual(output.dropped, { rate: 0, queue: 0, write: 0 });
});

Deno.test("a write of a part of the lines is continued", async () => {
  const stream = new Stream();
  stream.most = 7;
  const { log, output } = logTo(stream);
  for (let index = 0; index < 5; index++) log.info(`line ${index}`);
  await output.flush();
  assert.deepEqual(stream.messages, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
});

Deno.test("while nobody reads, lines are dropped when the queue is full, and a line says how many", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream, { queueBytes: 10_000 });
  stream.block();
  log.info("first");
  logMany(log, "info");
  const dropped = output.dropped.queue;
  assert.ok(dropped > 50 && dropped < 100, `${dropped} were dropped`);
  stream.release();
  await stream.has(/Log lines were dropped/);
  assert.match(
    stream.written,
    new RegExp(`W.*"Log lines were dropped" lines=${dropped} since="2.*Z" queue=${dropped}\n$`),
  );
  assert.equal(stream.messages.length, 1 + 100 - dropped + 1);
  assert.equal(stream.messages[0], "first");
});

Deno.test("errors still fit in the queue when warnings and information no longer do", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream, { queueBytes: 20_000 });
  stream.block();
  logMany(log, "info");
  logMany(log, "warn");
  const before = output.dropped.queue;
  for (let index = 0; index < 10; index++) log.error(`error ${index}`);
  assert.equal(output.dropped.queue, before);
  stream.release();
  await stream.has(/Log lines were dropped/);
  assert.deepEqual(
    stream.messages.filter((message) => message.startsWith("error")),
    Array.from({ length: 10 }, (_, index) => `error ${index}`),
  );
  assert.ok(stream.messages.some((message) => message.startsWith("warn")));
});

Deno.test("a line whose write fails is dropped, the next lines are tried, and a line says how many are missing", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  stream.failure = DISK_FULL;
  for (let index = 0; index < 3; index++) {
    log.info(`lost ${index}`);
    await output.flush();
  }
  assert.equal(stream.written, "");
  assert.deepEqual(output.dropped, { rate: 0, queue: 0, write: 3 });
  stream.failure = undefined;
  log.info("written");
  await output.flush();
  assert.deepEqual(stream.messages, ["written", "Log lines were dropped"]);
  assert.match(
    stream.written,
    /lines=3 since="2.*Z" write=3 error="No space left on device \(os error 28\)"\n$/,
  );
  log.info("later");
  await output.flush();
  assert.deepEqual(stream.messages, ["written", "Log lines were dropped", "later"]);
});

Deno.test("a report that cannot be written is made again, with its losses", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  stream.failure = DISK_FULL;
  log.info("lost");
  await output.flush();
  stream.failure = undefined;
  log.info("written");
  while (!stream.written.includes("written")) await Promise.resolve();
  stream.failure = DISK_FULL;
  await output.flush();
  assert.deepEqual(output.dropped, { rate: 0, queue: 0, write: 2 });
  stream.failure = undefined;
  log.info("works");
  await output.flush();
  assert.deepEqual(stream.messages, ["written", "works", "Log lines were dropped"]);
  assert.match(stream.written, /lines=2 .* write=2 /);
});

Deno.test("a line that was cut by an error is ended before the next one", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  stream.most = 10;
  log.info("cut");
  while (stream.written === "") await Promise.resolve();
  stream.failure = DISK_FULL;
  await output.flush();
  assert.equal(output.dropped.write, 1);
  assert.equal(stream.written.length, 10);
  [stream.failure, stream.most] = [undefined, Infinity];
  log.info("whole");
  await output.flush();
  assert.match(stream.written, /^I.{9}\nI.*"whole"\nW.*"Log lines were dropped" lines=1 /);
});

Deno.test("a full pipe that another process made non-blocking loses no line", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  stream.failure = new Deno.errors.WouldBlock("Resource temporarily unavailable (os error 11)");
  log.info("kept");
  await new Promise((resolve) => setTimeout(resolve, 1));
  stream.failure = undefined;
  await output.flush();
  assert.deepEqual([stream.messages, output.dropped.write], [["kept"], 0]);
});

Deno.test("more bytes per second than the budget are dropped, information first", async () => {
  const stream = new Stream();
  let now = 0;
  const { log, output } = logTo(stream, { burstBytes: 10_000, bytesPerSecond: 1000, now: () => now });
  logMany(log, "info");
  const afterInfo = output.dropped.rate;
  assert.ok(afterInfo > 50 && afterInfo < 80, `${afterInfo} were dropped`);
  log.warn("warning");
  log.error("error");
  assert.equal(output.dropped.rate, afterInfo);
  log.info("no budget yet");
  assert.equal(output.dropped.rate, afterInfo + 1);
  now += 3000;
  log.info("budget again");
  await stream.has(/Log lines were dropped/);
  assert.match(
    stream.written,
    new RegExp(`"Log lines were dropped" lines=${afterInfo + 1} since=".*" rate=${afterInfo + 1}\n`),
  );
  assert.deepEqual(stream.messages.slice(-4), ["warning", "error", "budget again", "Log lines were dropped"]);
});

Deno.test("the budget and the queue hold a warning for each of 10,000 services at once", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream);
  for (let index = 0; index < 10_000; index++) {
    log.warn("A frontend belongs to another service", { conflict: `${index} ${"x".repeat(200)}` });
  }
  await output.flush();
  assert.deepEqual(output.dropped, { rate: 0, queue: 0, write: 0 });
  assert.equal(stream.messages.length, 10_000);
});

Deno.test("a report is in the format of the log", async () => {
  const stream = new Stream();
  const { log, output } = logTo(stream, { burstBytes: 1000, bytesPerSecond: 0, now: () => 0 }, "json");
  logMany(log, "info");
  await output.flush();
  const { level, msg, lines, rate } = JSON.parse(stream.written.trimEnd().split("\n").at(-1) ?? "");
  assert.deepEqual({ level, msg, lines, rate }, {
    level: "warning",
    msg: "Log lines were dropped",
    lines: 96,
    rate: 96,
  });
});

Deno.test("the end of the process does not wait for a reader that does not read", async () => {
  const stream = new Stream();
  const { output } = logTo(stream);
  stream.block();
  output.print("proxy: the last message\n");
  await output.flush();
  assert.equal(stream.written, "");
  stream.release();
  await output.flush();
  assert.equal(stream.written, "proxy: the last message\n");
});
