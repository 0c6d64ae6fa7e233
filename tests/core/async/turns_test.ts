import assert from "node:assert/strict";
import { eachInTurns, Turns } from "../../../core/async/turns.ts";

/** Lets timers run for some rounds of the event loop. */
async function rounds(count: number): Promise<void> {
  for (let round = 0; round < count; round++) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("turns begin in the order in which they were asked for, and I/O gets its chance between them", async () => {
  const turns = new Turns();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, transport: "tcp" });
  const { hostname, port } = listener.addr;
  const [reader, writer] = await Promise.all([listener.accept(), Deno.connect({ hostname, port })]);
  using _reader = reader;
  using _writer = writer;
  const names = [..."abcdefghij"];
  const events: string[] = [];
  const read = (async () => {
    const buffer = new Uint8Array(1);
    for (const _ of names) {
      await reader.read(buffer);
      events.push("read");
    }
  })();
  await Promise.all(names.map(async (name) => {
    await turns.next();
    events.push(name);
    await writer.write(new Uint8Array(1));
    // The time of the next timer comes while the turn lasts.
    for (const end = performance.now() + 1.5; performance.now() < end;);
  }));
  await read;
  assert.deepEqual(events.filter((event) => event !== "read"), names);
  const withoutRead = events.map((event) => event === "read" ? " " : event).join("").split(" ");
  assert.ok(withoutRead.every((turns) => turns.length <= 2), events.join());
});

Deno.test("a turn is over after a millisecond, and nobody has a turn before asking for it", async () => {
  let now = 0;
  const turns = new Turns(() => now);
  assert.ok(turns.isOver);
  await turns.next();
  now += 0.9;
  assert.ok(!turns.isOver);
  now += 0.1;
  assert.ok(turns.isOver);
});

Deno.test("turns wait for urgent work, but at most 10 ms each", async () => {
  let now = 0;
  const turns = new Turns(() => now);
  turns.urgent = true;
  const begun: string[] = [];
  turns.next().then(() => begun.push("first"));
  turns.next().then(() => begun.push("second"));
  now = 9;
  await rounds(5);
  assert.equal(begun.join(" "), "");
  now = 10;
  await rounds(5);
  assert.equal(begun.join(" "), "first second");
  turns.next().then(() => begun.push("third"));
  await rounds(5);
  assert.equal(begun.join(" "), "first second");
  turns.urgent = false;
  await rounds(5);
  assert.equal(begun.join(" "), "first second third");
});

Deno.test("long work is divided into turns, and short work needs one", async () => {
  let now = 0;
  class CountedTurns extends Turns {
    count = 0;
    override next(): Promise<void> {
      this.count++;
      return super.next();
    }
  }
  const turnsFor = async (items: readonly number[]) => {
    const turns = new CountedTurns(() => now);
    const done: number[] = [];
    await eachInTurns(items, (item) => {
      done.push(item);
      now += 0.4;
    }, turns);
    assert.deepEqual(done, items);
    return turns.count;
  };
  assert.equal(await turnsFor([1, 2, 3]), 1);
  assert.equal(await turnsFor([1, 2, 3, 4, 5, 6, 7]), 3);
});
