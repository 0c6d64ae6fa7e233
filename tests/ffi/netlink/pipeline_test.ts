import assert from "node:assert/strict";
import { NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { Pipeline } from "../../../ffi/netlink/pipeline.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "./fake_transport.ts";

const TYPE = 0x20;
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

function write(writer: MessageWriter, seq: number, number: number): void {
  writer.begin(TYPE, 1, seq);
  writer.rawU32le(number);
  writer.end();
}

/** A kernel that rejects these numbers with EEXIST. */
function kernelThatRejects(rejected: ReadonlySet<number>): FakeTransport {
  return new FakeTransport((sent) => {
    const answers = new MessageWriter();
    for (const { seq, payload } of messages(sent)) {
      if (!rejected.has(payload[0]! | payload[1]! << 8)) continue;
      answers.begin(NLMSG_ERROR, 0x100, seq);
      for (const value of [-17 >>> 0, 20, TYPE, seq, 0]) answers.rawU32le(value);
      answers.end();
    }
    return answers.length === 0 ? [] : [answers.bytes().slice()];
  });
}

function sentNumbers(transport: FakeTransport): number[][] {
  return transport.sent.map((datagram) =>
    [...messages(datagram)].map(({ payload }) => payload[0]! | payload[1]! << 8)
  );
}

function counter(): () => number {
  let seq = 1;
  return () => seq++;
}

Deno.test("a few requests are one datagram", async () => {
  const transport = kernelThatRejects(new Set());
  assert.deepEqual(await new Pipeline(transport, counter()).send(numbers(3), write), []);
  assert.deepEqual(sentNumbers(transport), [[0, 1, 2]]);
  await new Pipeline(transport, counter()).send([], write);
  assert.equal(transport.sent.length, 1, "no datagram without requests");
});

Deno.test("many requests are sent in order, hundreds per datagram, and rejections refer to their commands", async () => {
  const transport = kernelThatRejects(new Set([0, 255, 256, 700, 999]));
  const requests = new Pipeline(transport, counter());
  for (let round = 0; round < 2; round++) {
    const rejected = await requests.send(numbers(1000), write);
    assert.deepEqual(rejected.map(({ command }) => command), [0, 255, 256, 700, 999]);
    assert.ok(rejected.every(({ answer }) => answer.errno === 17));
  }
  const sent = sentNumbers(transport);
  assert.deepEqual(sent.map(({ length }) => length), [256, 256, 256, 232, 256, 256, 256, 232]);
  assert.deepEqual(sent.slice(0, 4).flat(), numbers(1000));
});

Deno.test("the next datagram is written while the kernel processes one, in another buffer", async () => {
  const transport = kernelThatRejects(new Set());
  let writtenMeanwhile = 0;
  let written = 0;
  const send = transport.send.bind(transport);
  transport.send = async (message) => {
    const before = message.toHex();
    const from = written;
    await Promise.resolve();
    writtenMeanwhile += written - from;
    assert.equal(message.toHex(), before);
    await send(message);
  };
  await new Pipeline(transport, counter()).send(numbers(1000), (writer, seq, number) => {
    written++;
    write(writer, seq, number);
  });
  assert.ok(writtenMeanwhile > 0);
  assert.deepEqual(sentNumbers(transport).flat(), numbers(1000));
});

Deno.test("an error of the caller is reported after the kernel has answered", async () => {
  const transport = kernelThatRejects(new Set());
  function* failing() {
    yield* numbers(300);
    throw new Error("no more");
  }
  await assert.rejects(new Pipeline(transport, counter()).send(failing(), write), /no more/);
  assert.deepEqual(sentNumbers(transport).flat(), numbers(256));
});
