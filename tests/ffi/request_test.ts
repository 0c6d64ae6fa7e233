import assert from "node:assert/strict";
import { KernelError } from "../../ffi/errors.ts";
import { collectBatchErrors, dump, dumpEach, request } from "../../ffi/netlink/request.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { FakeTransport } from "./fake_transport.ts";

const answerType = 0x0a00;

Deno.test("a request returns what came before its acknowledgement, and what is left of earlier ones is skipped", async () => {
  const transport = new FakeTransport(() => [
    datagram({ type: answerType, seq: 6 }, error(6, 17)),
    datagram({ type: answerType, seq: 7 }),
    datagram(error(7, 0)),
  ]);
  const answers = await request(transport, ask(7, 0x1 | 0x4), "get the table");
  assert.deepEqual(answers.map(({ type, seq }) => ({ type, seq })), [{ type: answerType, seq: 7 }]);
  assert.deepEqual(transport.sent, [ask(7, 0x5).bytes()]);
});

Deno.test("a refused request is an error that says what was attempted and what the kernel answered", async () => {
  const transport = new FakeTransport(() => [datagram(error(7, 2))]);
  await assert.rejects(request(transport, ask(7, 0x5), "get table kube-proxy"), (error) => {
    assert.ok(error instanceof KernelError);
    assert.equal(error.message, "get table kube-proxy: ENOENT (No such file or directory)");
    assert.equal(error.errno, 2);
    assert.equal(error.errnoName, "ENOENT");
    assert.equal(error.operation, "get table kube-proxy");
    assert.equal(error.extack, undefined);
    return true;
  });
});

Deno.test("a lack of privilege says which one, and where to give it", async () => {
  const transport = new FakeTransport(() => [datagram(error(7, 1))]);
  await assert.rejects(
    request(transport, ask(7, 0x5), "list tables"),
    /list tables: EPERM \(Operation not permitted\)\. The process lacks CAP_NET_ADMIN in this network namespace/,
  );
});

Deno.test("a request that will not be acknowledged is refused before it is sent", async () => {
  const transport = new FakeTransport();
  await assert.rejects(request(transport, ask(7, 0x1), "get the table"), /needs NLM_F_ACK/);
  await assert.rejects(request(transport, new MessageWriter(), "get the table"), /nothing was written/);
  await assert.rejects(() => dump(transport, ask(7, 0x101), "list tables"), /needs NLM_F_DUMP/);
  assert.deepEqual(transport.sent, []);
});

Deno.test("a kernel that does not answer is an error, not a wait for ever", async () => {
  await assert.rejects(
    request(new FakeTransport(), ask(7, 0x5), "get the table"),
    /ETIMEDOUT .*did not answer/,
  );
});

Deno.test("a dump returns the answers of all its datagrams", async () => {
  const transport = new FakeTransport(() => [
    datagram({ type: answerType, seq: 7, flags: 2 }, { type: answerType, seq: 7, flags: 2 }),
    datagram({ type: answerType, seq: 7, flags: 2 }),
    datagram({ type: 3, seq: 7, flags: 2, payload: [0] }),
  ]);
  assert.equal((await dump(transport, ask(7, 0x301), "list tables")).length, 3);
});

Deno.test("a dump that fails at its end is an error", async () => {
  const transport = new FakeTransport(() => [
    datagram({ type: answerType, seq: 7, flags: 2 }),
    datagram({ type: 3, seq: 7, flags: 2, payload: [-105] }),
  ]);
  await assert.rejects(dump(transport, ask(7, 0x301), "list tables"), /list tables: ENOBUFS/);
});

Deno.test("a dump during which the table changed starts again", async () => {
  let attempts = 0;
  const transport = new FakeTransport(() => {
    const flags = ++attempts < 3 ? 0x12 : 0x2; // NLM_F_DUMP_INTR
    return [datagram({ type: answerType, seq: 7, flags }, { type: 3, seq: 7, flags: 2, payload: [0] })];
  });
  assert.equal((await dump(transport, ask(7, 0x301), "list tables")).length, 1);
  assert.equal(attempts, 3);
});

Deno.test("a table that never stops changing is an error of the dump, and told by the streaming one", async () => {
  const transport = new FakeTransport(() => [
    datagram({ type: answerType, seq: 7, flags: 2 }, { type: 3, seq: 7, flags: 0x12, payload: [0] }),
  ]);
  await assert.rejects(
    dump(transport, ask(7, 0x301), "list tables"),
    /EINTR .*changed during each of 5 attempts/,
  );

  let visited = 0;
  assert.deepEqual(await dumpEach(transport, ask(7, 0x301), "list tables", () => visited++), {
    interrupted: true,
  });
  assert.equal(visited, 1);
});

Deno.test("a dump in the background asks off the main thread and lets other work go on between its answers", async () => {
  const transport = new FakeTransport(() => [
    ...Array.from({ length: 4 }, () => datagram({ type: answerType, seq: 7, flags: 2 })),
    datagram({ type: 3, seq: 7, flags: 2, payload: [0] }),
  ]);
  transport.sendLarge = ((send) => (message) => (offThread++, send(message)))(
    transport.sendLarge.bind(transport),
  );
  let offThread = 0, others = 0, visited = 0;
  const other = setInterval(() => others++, 0);
  const dumped = dumpEach(transport, ask(7, 0x301), "list tables", () => {
    visited++;
    for (const started = performance.now(); performance.now() - started < 6;);
  }, { inBackground: true });
  await dumped;
  clearInterval(other);
  assert.deepEqual([visited, offThread], [4, 1]);
  assert.ok(others >= 3, `${others} turns of others`);
});

Deno.test("the errors of a batch are returned in order with the message each is about; acknowledgements are not", () => {
  const transport = new FakeTransport();
  transport.deliver(
    datagram(error(1, 0)),
    datagram(error(3, 17), { type: answerType, seq: 4 }),
    datagram(error(9, 2)),
  );
  assert.deepEqual(collectBatchErrors(transport), [{ seq: 3, errno: 17 }, { seq: 9, errno: 2 }]);
  assert.deepEqual(collectBatchErrors(transport), []);
});

Deno.test("a batch with more errors than fit gives those that do, and leaves none for the next batch", () => {
  const overflow = new KernelError("receive", 105);
  const transport = new FakeTransport();
  transport.deliver(overflow, datagram(error(3, 17)), datagram(error(4, 17)));
  assert.deepEqual(collectBatchErrors(transport).map(({ seq }) => seq), [3, 4]);
  assert.deepEqual(collectBatchErrors(transport), []);

  transport.deliver(overflow);
  assert.throws(() => collectBatchErrors(transport), overflow);
});

interface Told {
  readonly type: number;
  readonly seq: number;
  readonly flags?: number;
  /** 32-bit values. */
  readonly payload?: readonly number[];
}

/** NLMSG_ERROR about the message `seq`, capped. */
function error(seq: number, errno: number): Told {
  return { type: 2, seq, flags: 0x100, payload: [-errno, 16, 0, seq, 0] };
}

function datagram(...told: readonly Told[]): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  for (const { type, seq, flags = 0, payload = [] } of told) {
    writer.begin(type, flags, seq);
    for (const value of payload) writer.rawU32le(value);
    writer.end();
  }
  return writer.bytes().slice();
}

function ask(seq: number, flags: number): MessageWriter {
  const writer = new MessageWriter();
  writer.begin(answerType, flags, seq);
  writer.end();
  return writer;
}
