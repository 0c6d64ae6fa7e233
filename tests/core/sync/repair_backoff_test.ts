import assert from "node:assert/strict";
import { RepairBackoff } from "../../../core/sync/repair_backoff.ts";
import { silentLog } from "../observe/log/silent_log.ts";

/** A backoff with a clock that the test moves. */
class Setup {
  now = 1_000_000;
  readonly logged: string[] = [];
  readonly backoff: RepairBackoff;

  constructor(maxDelayMs = 60_000) {
    const record = (message: string, fields?: Readonly<Record<string, unknown>>) =>
      void this.logged.push(`${message.split(/[;,]/)[0]} (${fields?.["program"]})`);
    this.backoff = new RepairBackoff({
      maxDelayMs,
      log: { ...silentLog, warn: record, info: record },
      now: () => this.now,
    });
  }

  /** A program changes something, and the repair is made when it is due. @returns the delay of the repair. */
  changeAndRepair(program: string): number {
    const changedAt = this.now;
    this.backoff.note(`table deleted by ${program}`, program);
    this.now = Math.max(this.now, this.backoff.dueMs);
    assert.equal(this.backoff.take(), `table deleted by ${program}`);
    this.backoff.repaired();
    return this.now - changedAt;
  }
}

const begins = "Another program keeps changing our kernel objects (nft)";
const ends = "The other program no longer changes our kernel objects (nft)";

Deno.test("a program that undoes every repair is repaired ever more rarely, and named once", () => {
  const setup = new Setup();
  const delays = Array.from({ length: 19 }, () => setup.changeAndRepair("nft"));
  assert.deepEqual(delays.slice(0, 10), Array(10).fill(0));
  assert.deepEqual(delays.slice(10), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  assert.deepEqual(setup.logged, [begins]);
});

Deno.test("the delay never exceeds the sync period", () => {
  const setup = new Setup(5000);
  const delays = Array.from({ length: 16 }, () => setup.changeAndRepair("nft"));
  assert.equal(Math.max(...delays), 5000);
});

Deno.test("changes now and then are repaired at once, however often they come", () => {
  const setup = new Setup();
  for (let time = 0; time < 50; time++) {
    assert.equal(setup.changeAndRepair("nft"), 0);
    setup.now += 2500;
  }
  assert.deepEqual(setup.logged, []);
});

Deno.test("each program has its own delay", () => {
  const setup = new Setup();
  for (let time = 0; time < 16; time++) setup.changeAndRepair("nft");
  setup.backoff.note("table deleted by nft", "nft");
  assert.ok(setup.backoff.dueMs > setup.now + 10_000);
  setup.backoff.note("table deleted by firewalld", "firewalld");
  assert.ok(setup.backoff.dueMs <= setup.now);
});

Deno.test("a repair that lasts ends the dispute, which is logged when the time is up", () => {
  const setup = new Setup();
  for (let time = 0; time < 12; time++) setup.changeAndRepair("nft");
  assert.ok(setup.backoff.isInDispute);
  setup.backoff.endDisputes();
  assert.deepEqual(setup.logged, [begins]);
  assert.equal(setup.backoff.quietMs, setup.now + 4000);
  setup.now = setup.backoff.quietMs;
  setup.backoff.endDisputes();
  assert.deepEqual(setup.logged, [begins, ends]);
  assert.equal(setup.backoff.quietMs, Infinity);
  assert.equal(setup.changeAndRepair("nft"), 0);
});

Deno.test("a change during the repair counts as undoing it, however long the repair takes", () => {
  const setup = new Setup();
  for (let time = 0; time < 12; time++) {
    setup.backoff.note("first", "nft");
    setup.backoff.take();
    setup.now += 60_000;
    setup.backoff.note("second", "nft");
    setup.backoff.repaired();
    setup.backoff.take();
    setup.now += 60_000;
    setup.backoff.repaired();
  }
  assert.deepEqual(setup.logged, [begins]);
});

Deno.test("only so many programs are remembered", () => {
  const setup = new Setup();
  for (let name = 0; name < 1000; name++) setup.changeAndRepair(`program-${name}`);
  for (let time = 0; time < 11; time++) setup.changeAndRepair("nft");
  assert.deepEqual(setup.logged, [begins]);
});
