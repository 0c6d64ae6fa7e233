import assert from "node:assert/strict";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";
import { NLM_F_ACK } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import {
  decodeAddress,
  writeDeleteAddress,
  writeNewAddress,
} from "../../../ffi/netlink/rtnetlink/address.ts";
import {
  ARPHRD_ETHER,
  IFA_F_NODAD,
  IFF_LOOPBACK,
  RT_SCOPE_UNIVERSE,
} from "../../../ffi/netlink/rtnetlink/constants.ts";
import { decodeLink, writeNewLink } from "../../../ffi/netlink/rtnetlink/link.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { hex } from "./hex.ts";
import * as golden from "./ip_goldens.ts";

const INDEX = 2;
/** Binary strings: 10.96.0.10 and fd00:96::a. */
const v4 = "\x0a\x60\x00\x0a";
const v6 = "\xfd\x00\x00\x96" + "\0".repeat(11) + "\x0a";

/** The parts of a message that do not differ between runs. */
function stable(bytes: Uint8Array) {
  const [message] = messages(bytes);
  assert.ok(message !== undefined);
  return { type: message.type, flags: message.flags & ~NLM_F_ACK, payload: message.payload.toHex() };
}

function written(write: (writer: MessageWriter) => void) {
  const writer = new MessageWriter(128, { nestedFlag: false });
  write(writer);
  return stable(writer.bytes());
}

Deno.test("a dummy device is added as ip adds it", () => {
  const own = written((writer) => writeNewLink(writer, 1, "kube-ipvs0", "dummy"));
  // ip counts the padding of the last attribute as part of the message.
  assert.deepEqual(own, stable(hex(golden.ADD_DEVICE)));
});

Deno.test("addresses are added and deleted as ip does it", () => {
  const added = (address: string, flags: number) =>
    written((writer) => writeNewAddress(writer, 1, INDEX, address, address.length * 8, flags));
  assert.deepEqual(added(v4, 0), stable(hex(golden.ADD_ADDRESS)));
  assert.deepEqual(added(v6, IFA_F_NODAD), stable(hex(golden.ADD_ADDRESS_V6)));
  const removed = (address: string) =>
    written((writer) => writeDeleteAddress(writer, 1, INDEX, address, address.length * 8));
  assert.deepEqual(removed(v4), stable(hex(golden.REMOVE_ADDRESS)));
  assert.deepEqual(removed(v6), stable(hex(golden.REMOVE_ADDRESS_V6)));
});

Deno.test("addresses are decoded from the kernel's answer", () => {
  const decoded = [...messages(hex(golden.SHOWN_ADDRESSES))].map(({ payload }) => decodeAddress(payload));
  const common = { index: INDEX, scope: RT_SCOPE_UNIVERSE };
  assert.deepEqual(decoded, [
    {
      ...common,
      family: AF_INET,
      bytes: bytesOf(v4),
      network: bytesOf(v4),
      prefix: 32,
      flags: IFA_F_PERMANENT,
    },
    {
      ...common,
      family: AF_INET6,
      bytes: bytesOf(v6),
      network: bytesOf(v6),
      prefix: 128,
      flags: IFA_F_PERMANENT | IFA_F_NODAD,
    },
  ]);
});

Deno.test("a device is decoded from the kernel's answer", () => {
  const [message] = messages(hex(golden.SHOWN_LINK));
  assert.ok(message !== undefined);
  const { index, name, kind, master, type, flags } = decodeLink(message.payload);
  assert.deepEqual({ index, name, kind, master, type }, {
    index: INDEX,
    name: "kube-ipvs0",
    kind: "dummy",
    master: undefined,
    type: ARPHRD_ETHER,
  });
  assert.equal(flags & IFF_LOOPBACK, 0);
});

const IFA_F_PERMANENT = 0x80; // linux/if_addr.h

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
