import assert from "node:assert/strict";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient, type WriteMessage } from "../../../ffi/netlink/client.ts";
import { readRejections } from "../../../ffi/netlink/exchange.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport, type Scripted } from "./fake_transport.ts";

const answerType = 0x0a00;

Deno.test("a request returns the answers before its acknowledgement, and skips answers to earlier requests", async () => {
  const transport = answering((seq) => [
    datagram({ type: answerType, seq: seq - 1 }, error(seq - 1, 17)),
    datagram({ type: answerType, seq }),
    datagram(error(seq, 0)),
  ]);
  const answers = await new NetlinkClient(transport).request("get the table", ask(0x1 | 0x4));
  assert.deepEqual(answers.map(({ type, seq }) => ({ type, seq })), [{ type: answerType, seq: 1 }]);
  assert.deepEqual(transport.sent, [datagram({ type: answerType, seq: 1, flags: 0x5 })]);
});

Deno.test("the error of a rejected request contains the operation and the answer of the kernel", async () => {
  const transport = answering((seq) => [datagram(error(seq, 2))]);
  await assert.rejects(new NetlinkClient(transport).request("get table kube-proxy", ask(0x5)), (error) => {
    assert.ok(error instanceof KernelError);
    assert.equal(error.message, "get table kube-proxy: ENOENT (No such file or directory)");
    assert.equal(error.errno, 2);
    assert.equal(error.errnoName, "ENOENT");
    assert.equal(error.operation, "get table kube-proxy");
    assert.equal(error.extack, undefined);
    return true;
  });
});

Deno.test("the error for a missing privilege names it, and where to grant it", async () => {
  const transport = answering((seq) => [datagram(error(seq, 1))]);
  await assert.rejects(
    new NetlinkClient(transport).request("list tables", ask(0x5)),
    /list tables: EPERM \(Operation not permitted\)\. The process (has|lacks) CAP_NET_ADMIN/,
  );
});

Deno.test("a request without the flag for its acknowledgement is not sent", async () => {
  const transport = new FakeTransport();
  await assert.rejects(new NetlinkClient(transport).request("get the table", ask(0x1)), /needs NLM_F_ACK/);
  await assert.rejects(
    new NetlinkClient(transport).request("get the table", () => {}),
    /nothing was written/,
  );
  await assert.rejects(
    () => new NetlinkClient(transport).dump("list tables", ask(0x101)),
    /needs NLM_F_DUMP/,
  );
  assert.deepEqual(transport.sent, []);
});

Deno.test("a kernel that does not answer is an error after a timeout", async () => {
  await assert.rejects(
    new NetlinkClient(new FakeTransport()).request("get the table", ask(0x5)),
    /ETIMEDOUT .*did not answer/,
  );
});

Deno.test("a dump returns the answers of all its datagrams", async () => {
  const transport = answering((seq) => [
    datagram({ type: answerType, seq, flags: 2 }, { type: answerType, seq, flags: 2 }),
    datagram({ type: answerType, seq, flags: 2 }),
    datagram({ type: 3, seq, flags: 2, payload: [0] }),
  ]);
  assert.equal((await new NetlinkClient(transport).dump("list tables", ask(0x301))).length, 3);
});

Deno.test("a dump that fails at its end is an error", async () => {
  const transport = answering((seq) => [
    datagram({ type: answerType, seq, flags: 2 }),
    datagram({ type: 3, seq, flags: 2, payload: [-105] }),
  ]);
  await assert.rejects(new NetlinkClient(transport).dump("list tables", ask(0x301)), /list tables: ENOBUFS/);
});

Deno.test("a dump starts again if the table changed", async () => {
  let attempts = 0;
  const transport = answering((seq) => {
    const flags = ++attempts < 3 ? 0x12 : 0x2; // NLM_F_DUMP_INTR
    return [datagram({ type: answerType, seq, flags }, { type: 3, seq, flags: 2, payload: [0] })];
  });
  assert.equal((await new NetlinkClient(transport).dump("list tables", ask(0x301))).length, 1);
  assert.equal(attempts, 3);
});

Deno.test("a table that keeps changing is an error of `dump`, and a result of `dumpEach`", async () => {
  const transport = answering((seq) => [
    datagram({ type: answerType, seq, flags: 2 }, { type: 3, seq, flags: 0x12, payload: [0] }),
  ]);
  await assert.rejects(
    new NetlinkClient(transport).dump("list tables", ask(0x301)),
    /EINTR .*changed during each of 5 attempts/,
  );

  let visited = 0;
  assert.deepEqual(
    await new NetlinkClient(transport).dumpEach("list tables", ask(0x301), () => void visited++),
    {
      interrupted: true,
    },
  );
  assert.equal(visited, 1);
});

Deno.test("a dump in the background lets other work run between its answers", async () => {
  const transport = answering((seq) => [
    ...Array.from({ length: 4 }, () => datagram({ type: answerType, seq, flags: 2 })),
    datagram({ type: 3, seq, flags: 2, payload: [0] }),
  ]);
  let others = 0, visited = 0;
  const other = setInterval(() => others++, 0);
  const dumped = new NetlinkClient(transport).dumpEach("list tables", ask(0x301), () => {
    visited++;
    for (const started = performance.now(); performance.now() - started < 6;);
  }, { inBackground: true });
  await dumped;
  clearInterval(other);
  assert.equal(visited, 4);
  assert.ok(others >= 3, `${others} runs of other work`);
});

Deno.test("the rejections of a batch are returned in order with their sequence numbers, without acknowledgements", () => {
  const transport = new FakeTransport();
  transport.deliver(
    datagram(error(1, 0)),
    datagram(error(3, 17), { type: answerType, seq: 4 }),
    datagram(error(9, 2)),
  );
  assert.deepEqual(readRejections(transport), [{ seq: 3, errno: 17 }, { seq: 9, errno: 2 }]);
  assert.deepEqual(readRejections(transport), []);
});

Deno.test("if the rejections of a batch overflow the buffer, those that fit are returned, and none remains for the next batch", () => {
  const overflow = new KernelError("receive", 105);
  const transport = new FakeTransport();
  transport.deliver(overflow, datagram(error(3, 17)), datagram(error(4, 17)));
  assert.deepEqual(readRejections(transport).map(({ seq }) => seq), [3, 4]);
  assert.deepEqual(readRejections(transport), []);

  transport.deliver(overflow);
  assert.throws(() => readRejections(transport), overflow);
});

Deno.test("an ignored errno counts as success, another one does not", async () => {
  const client = new NetlinkClient(answering((seq) => [datagram(error(seq, 2))]));
  assert.deepEqual(await client.request("get the table", ask(0x5), { ignore: ["EEXIST", "ENOENT"] }), []);
  await assert.rejects(client.request("get the table", ask(0x5), { ignore: ["EEXIST"] }), /ENOENT/);
});

Deno.test("no two messages of a client have the same sequence number", async () => {
  const transport = answering((seq) => [datagram(error(seq, 0))]);
  const client = new NetlinkClient(transport);
  const write = ask(0x5);
  await client.request("get the table", write);
  const { message, firstSeq } = client.beginBatch();
  for (const seq of [firstSeq, firstSeq + 1]) write(message, seq);
  client.endBatch(2);
  assert.deepEqual(await client.sendBatch(message.bytes()), []);
  await client.pipeline(["a", "b"], write);
  await client.request("get the table", write);
  const seqs = transport.sent.flatMap((sent) => [...messages(sent)].map(({ seq }) => seq));
  assert.deepEqual(seqs, [1, 2, 3, 4, 5, 6]);
});

/** A kernel that answers each datagram with what `answers` makes of the sequence number of its first message. */
function answering(answers: (seq: number) => readonly Scripted[]): FakeTransport {
  return new FakeTransport((sent) => {
    const [first] = messages(sent);
    return answers(first?.seq ?? 0);
  });
}

interface Answer {
  readonly type: number;
  readonly seq: number;
  readonly flags?: number;
  /** 32-bit values. */
  readonly payload?: readonly number[];
}

/** A capped NLMSG_ERROR for the message `seq`. */
function error(seq: number, errno: number): Answer {
  return { type: 2, seq, flags: 0x100, payload: [-errno, 16, 0, seq, 0] };
}

function datagram(...answers: readonly Answer[]): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  for (const { type, seq, flags = 0, payload = [] } of answers) {
    writer.begin(type, flags, seq);
    for (const value of payload) writer.rawU32le(value);
    writer.end();
  }
  return writer.bytes().slice();
}

function ask(flags: number): WriteMessage {
  return (message, seq) => {
    message.begin(answerType, flags, seq);
    message.end();
  };
}
