import assert from "node:assert/strict";
import {
  isDummy,
  linkAddressOf,
  linkOf,
  writeDeleteAddress,
  writeNewAddress,
  writeNewDummy,
} from "../../../backends/ipvs/device/messages.ts";
import { NLM_F_ACK } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { hex } from "../../ffi/hex.ts";
import * as golden from "./ip_goldens.ts";
import { addressOf } from "./servers.ts";

const INDEX = 2;
const v4 = addressOf("10.96.0.10");
const v6 = addressOf("fd00:96::a");

/** All but what differs from one run to the next. */
function said(bytes: Uint8Array) {
  const [message] = messages(bytes);
  assert.ok(message !== undefined);
  return { type: message.type, flags: message.flags & ~NLM_F_ACK, payload: message.payload.toHex() };
}

function written(write: (writer: MessageWriter) => void) {
  const writer = new MessageWriter(128, { flagsNests: false });
  write(writer);
  return said(writer.bytes());
}

Deno.test("the device is made as ip makes it", () => {
  const own = written((writer) => writeNewDummy(writer, 1, "kube-ipvs0"));
  // ip counts the padding of the last attribute as the message's.
  assert.deepEqual(own, said(hex(golden.ADD_DEVICE)));
});

Deno.test("addresses come and go as ip adds and deletes them", () => {
  assert.deepEqual(written((writer) => writeNewAddress(writer, 1, INDEX, v4)), said(hex(golden.ADD_ADDRESS)));
  assert.deepEqual(
    written((writer) => writeNewAddress(writer, 1, INDEX, v6)),
    said(hex(golden.ADD_ADDRESS_V6)),
  );
  const removed = (address: typeof v4, prefix: number) =>
    written((writer) => writeDeleteAddress(writer, 1, { index: INDEX, address, prefix }));
  assert.deepEqual(removed(v4, 32), said(hex(golden.REMOVE_ADDRESS)));
  assert.deepEqual(removed(v6, 128), said(hex(golden.REMOVE_ADDRESS_V6)));
});

Deno.test("addresses are read from what the kernel answers", () => {
  const found = [...messages(hex(golden.SHOWN_ADDRESSES))].map(({ payload }) => linkAddressOf(payload));
  assert.deepEqual(found, [
    { index: INDEX, address: v4, prefix: 32 },
    { index: INDEX, address: v6, prefix: 128 },
  ]);
});

Deno.test("the device is known by what the kernel says of it", () => {
  const [message] = messages(hex(golden.SHOWN_LINK));
  assert.ok(message !== undefined);
  const link = linkOf(message.payload);
  assert.deepEqual(link, { index: INDEX, name: "kube-ipvs0", kind: "dummy" });
  assert.deepEqual([isDummy(link), isDummy({ ...link, kind: "bridge" })], [true, false]);
});
