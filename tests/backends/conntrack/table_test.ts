import assert from "node:assert/strict";
import { CT_DELETE, CT_GET } from "../../../backends/conntrack/ctnetlink.ts";
import { ConntrackTable, sweepConntrack } from "../../../backends/conntrack/table.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { hex } from "../../ffi/netlink/hex.ts";
import { AF_INET, IPPROTO_UDP } from "../../../ffi/inet.ts";
import * as golden from "./goldens.ts";

const SEQ_AT = 8;
const filter = { family: AF_INET, protocol: IPPROTO_UDP };

/** The golden dump as an answer to a request. */
function answering(dump: string, seq = 1): Uint8Array<ArrayBuffer> {
  const datagram = hex(dump);
  const view = new DataView(datagram.buffer);
  for (let at = 0; at < datagram.length; at += view.getUint32(at, true)) {
    view.setUint32(at + SEQ_AT, seq, true);
  }
  return datagram;
}

/** A capped struct nlmsgerr for the message `seq`. */
function rejecting(seq: number, errno: number): Uint8Array<ArrayBuffer> {
  const datagram = new Uint8Array(36);
  const view = new DataView(datagram.buffer);
  view.setUint32(0, 36, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 0x100, true);
  view.setUint32(SEQ_AT, seq, true);
  view.setInt32(16, -errno, true);
  return datagram;
}

/** A kernel with these answers to a dump and to deletions. */
function kernel(
  dumps: readonly Uint8Array<ArrayBuffer>[],
  deletions: readonly Uint8Array<ArrayBuffer>[] = [],
) {
  const reader = new FakeTransport(() => [...dumps, answering(golden.LISTED_END)]);
  const deleter = new FakeTransport(() => deletions);
  const opened = [reader, deleter];
  return { reader, deleter, open: () => opened.shift() ?? assert.fail("a third socket") };
}

function typesSent(transport: FakeTransport): number[] {
  return transport.sent.flatMap((datagram) => [...messages(datagram)].map(({ type }) => type));
}

Deno.test("stale entries are deleted, others stay, and the sockets are closed", async () => {
  const { reader, deleter, open } = kernel([answering(golden.LISTED_V4)]);
  const seen: number[] = [];
  const sweep = await sweepConntrack(filter, (flow) => {
    seen.push(flow.destinationPort);
    return flow.zone === 7;
  }, open);
  // Old kernels send the other protocols as well.
  assert.deepEqual(seen, [53, 53]);
  assert.deepEqual(sweep, { examined: 4, deleted: 1, rejection: undefined });
  assert.deepEqual([typesSent(reader), typesSent(deleter)], [[CT_GET], [CT_DELETE]]);
  assert.ok(reader.closed && deleter.closed);
});

Deno.test("sweeps share the sockets, because closing one holds up the transactions of nf_tables", async () => {
  const reader = new FakeTransport((sent) =>
    [...messages(sent)].map(({ seq }) => answering(golden.LISTED_END, seq))
  );
  const deleter = new FakeTransport();
  const opened = [reader, deleter];
  const table = new ConntrackTable(() => opened.shift() ?? assert.fail("a third socket"));
  for (let i = 0; i < 3; i++) await table.sweep(filter, () => false);
  assert.equal(reader.sent.length, 3);
  assert.ok(!reader.closed && !deleter.closed);
  table[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(reader.closed && deleter.closed);
});

Deno.test("without stale entries no deletion is sent", async () => {
  const { deleter, open } = kernel([answering(golden.LISTED_V4)]);
  assert.equal((await sweepConntrack(filter, () => false, open)).deleted, 0);
  assert.deepEqual(deleter.sent, []);
});

Deno.test("a flow that has ended is no failure; other rejections are reported", async () => {
  const gone = kernel([answering(golden.LISTED_V4)], [rejecting(1, 2)]);
  assert.deepEqual(await sweepConntrack(filter, () => true, gone.open), {
    examined: 4,
    deleted: 1,
    rejection: undefined,
  });
  const busy = kernel([answering(golden.LISTED_V4)], [rejecting(2, 16)]);
  const sweep = await sweepConntrack(filter, () => true, busy.open);
  assert.equal(sweep.deleted, 1);
  assert.match(sweep.rejection ?? "", /delete a conntrack entry: EBUSY/);
});

Deno.test("if the table changes while it is read, the entries that were read are swept", async () => {
  const interrupted = answering(golden.LISTED_V4);
  new DataView(interrupted.buffer).setUint16(6, 0x12, true); // NLM_F_MULTI | NLM_F_DUMP_INTR
  const { open } = kernel([interrupted]);
  assert.equal((await sweepConntrack(filter, () => true, open)).deleted, 2);
});

Deno.test("deletions are sent in batches, so that memory does not grow with the number of stale entries", async () => {
  const { deleter, open } = kernel(Array.from({ length: 1000 }, () => answering(golden.LISTED_V4)));
  const sweep = await sweepConntrack(filter, () => true, open);
  assert.equal(sweep.deleted, 2000);
  assert.ok(deleter.sent.length > 4, `${deleter.sent.length} datagrams`);
  assert.ok(deleter.sent.every(({ length }) => length < 34_000));
  assert.equal(typesSent(deleter).length, 2000);
});

Deno.test("a rejected dump is an error, and leaves no socket open", async () => {
  const reader = new FakeTransport(() => [rejecting(1, 1)]);
  const deleter = new FakeTransport();
  const opened = [reader, deleter];
  await assert.rejects(
    sweepConntrack(filter, () => true, () => opened.shift() ?? assert.fail()),
    (error) => error instanceof KernelError && error.errnoName === "EPERM",
  );
  assert.ok(reader.closed && deleter.closed);
});
