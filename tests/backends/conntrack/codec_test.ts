import assert from "node:assert/strict";
import fc from "fast-check";
import { formatSocketAddress } from "../../../core/net/address.ts";
import {
  CT_NEW,
  CTA_ID,
  CTA_TUPLE_ORIG,
  CTA_ZONE,
  IPS_SEEN_REPLY,
} from "../../../backends/conntrack/ctnetlink.ts";
import { decodeFlow, type Flow } from "../../../backends/conntrack/flow.ts";
import { writeDelete, writeDump } from "../../../backends/conntrack/messages.ts";
import { attributes, messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { hex } from "../../ffi/netlink/hex.ts";
import { AF_INET, AF_INET6, IPPROTO_UDP } from "../../../ffi/inet.ts";
import * as golden from "./goldens.ts";

function written(write: (writer: MessageWriter) => void): Uint8Array {
  const writer = new MessageWriter();
  write(writer);
  return writer.bytes().slice();
}

function flowsIn(dump: string): (Flow | undefined)[] {
  return [...messages(hex(dump))].map(({ type, payload }) => {
    assert.equal(type, CT_NEW);
    return decodeFlow(payload);
  });
}

/** Describes a flow similar to `conntrack -L`. */
function describeFlow(flow: Flow | undefined): string {
  if (flow === undefined) return "nothing with ports";
  const client = formatSocketAddress(flow.source, flow.sourcePort);
  const frontend = formatSocketAddress(flow.destination, flow.destinationPort);
  const endpoint = formatSocketAddress(flow.replySource, flow.replySourcePort);
  const zone = flow.zone === 0 ? "" : `, zone ${flow.zone}`;
  const replied = flow.hasReplied ? "" : ", unreplied";
  return `protocol ${flow.protocol}: ${client} to ${frontend}, answered by ${endpoint}${zone}${replied}`;
}

Deno.test("a dump request equals that of conntrack -L", () => {
  const dump = (filter: Parameters<typeof writeDump>[2]) =>
    written((writer) => writeDump(writer, golden.SEQ, filter));
  assert.deepEqual(dump({ family: AF_INET }), hex(golden.LIST_V4));
  assert.deepEqual(dump({ family: AF_INET6 }), hex(golden.LIST_V6));
  const status = { mask: IPS_SEEN_REPLY, value: IPS_SEEN_REPLY };
  assert.deepEqual(dump({ family: AF_INET, status }), hex(golden.LIST_SEEN_REPLY));
});

Deno.test("a dump request for one protocol contains the filter for the kernel", () => {
  const request = written((writer) => writeDump(writer, 1, { family: AF_INET, protocol: IPPROTO_UDP }));
  // No stock tool sends this. tests/integration/conntrack_test.ts shows that the kernel filters accordingly.
  const tuple = "1000 0180 0c00 0280 0500 0100 11000000";
  const filter = "0c00 1980 0800 0100 08000000";
  assert.deepEqual(request.subarray(16), hex(`02000000 ${tuple} ${filter}`));
});

Deno.test("entries are decoded from the kernel's answer", () => {
  assert.deepEqual(flowsIn(golden.LISTED_V4).map(describeFlow), [
    "nothing with ports",
    "protocol 17: 10.244.1.11:5353 to 10.96.0.11:53, answered by 10.96.0.11:53, zone 7, unreplied",
    "protocol 6: 10.244.1.11:40000 to 198.51.100.10:80, answered by 198.51.100.10:80, unreplied",
    "protocol 17: 10.244.1.11:5353 to 10.96.0.10:53, answered by 10.244.1.12:8053",
  ]);
  assert.deepEqual(flowsIn(golden.LISTED_V6).map(describeFlow), [
    "protocol 17: [fd00::1]:5353 to [fd00:96::a]:53, answered by [fd00::2]:8053, unreplied",
  ]);
});

Deno.test("an entry is deleted by its original tuple and zone, as conntrack -D does, and also by its id", () => {
  const cases = [
    { dump: golden.LISTED_V4, index: 1, stock: golden.DELETE_V4, id: "9583de3d" },
    { dump: golden.LISTED_V6, index: 0, stock: golden.DELETE_V6, id: "f2128767" },
  ];
  for (const { dump, index, stock, id } of cases) {
    const flow = flowsIn(dump)[index];
    assert.ok(flow !== undefined);
    const request = written((writer) => writeDelete(writer, golden.SEQ, flow));
    const [own] = messages(request);
    const [theirs] = messages(hex(stock));
    assert.ok(own !== undefined && theirs !== undefined);
    assert.deepEqual([own.type, own.seq, own.payload.subarray(0, 4)], [
      theirs.type,
      theirs.seq,
      theirs.payload.subarray(0, 4),
    ]);
    const attributesOf = (payload: Uint8Array) =>
      [...attributes(payload, 4)].map(({ type, bytes }) => [type, bytes.toHex()] as const);
    const named = attributesOf(theirs.payload).filter(([type]) =>
      type === CTA_TUPLE_ORIG || type === CTA_ZONE
    );
    assert.deepEqual(attributesOf(own.payload), [...named, [CTA_ID, id]]);
  }
});

Deno.test("a truncated entry decodes to undefined or to correct values", () => {
  const [, message] = messages(hex(golden.LISTED_V4));
  assert.ok(message !== undefined);
  for (let length = 0; length < message.payload.length; length++) {
    const flow = decodeFlow(message.payload.slice(0, length));
    if (flow !== undefined) {
      assert.match(describeFlow(flow), /10\.244\.1\.11:5353 to 10\.96\.0\.11:53, answered by 10\.96/);
    }
  }
});

Deno.test("any bytes decode, or throw a RangeError", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      decodeFlow(bytes);
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }));
});
