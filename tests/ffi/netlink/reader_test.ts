import assert from "node:assert/strict";
import fc from "fast-check";
import { acknowledgement, Attribute, attribute, attributes, messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { hex } from "./hex.ts";

/** The kernel's answer to `ip route add 10.9.9.0/24 dev lo table 0xfffffff via 1.2.3.4` (strace -e read=all). */
const rejectedRoute = hex(`
  70 00 00 00 02 00 00 02  f7 d8 00 6b 6a 7c 00 00
  9b ff ff ff 3c 00 00 00  18 00 05 06 f7 d8 00 6b
  00 00 00 00 02 18 00 00  00 03 00 01 00 00 00 00
  08 00 01 00 0a 09 09 00  08 00 0f 00 ff ff ff 0f
  08 00 05 00 01 02 03 04  08 00 04 00 01 00 00 00
  20 00 01 00 4e 65 78 74  68 6f 70 20 68 61 73 20
  69 6e 76 61 6c 69 64 20  67 61 74 65 77 61 79 00`);

Deno.test("the kernel's text is read from the extended acknowledgement behind the echoed request", () => {
  const [message] = messages(rejectedRoute);
  assert.ok(message);
  assert.deepEqual(acknowledgement(message), {
    seq: 0x6b00d8f7,
    errno: 101, // ENETUNREACH
    extack: "Nexthop has invalid gateway",
  });
});

Deno.test("the offset of the offending attribute is read from a capped rejection", () => {
  const datagram = hex(`
    2c000000 0200 0003 05000000 01000000
    efffffff 5c000000 0c0a 0104 05000000 00000000
    0800 0200 34000000`);
  const [message] = messages(datagram);
  assert.ok(message);
  assert.deepEqual(acknowledgement(message), { seq: 5, errno: 17, offset: 0x34 });
});

Deno.test("a rejection without attributes consists of its errno", () => {
  const [message] = messages(hex(`
    34000000 0200 0000 07000000 01000000
    edffffff 20000000 1000 0500 07000000 00000000
    00000000 00000000 00000000 00000000`));
  assert.ok(message);
  assert.deepEqual(acknowledgement(message), { seq: 7, errno: 19 });
});

Deno.test("the end of a dump is a success if empty or 0, and may contain an error with a text", () => {
  const end = (payload: string, flags = 2) => ({ type: 3, flags, seq: 9, pid: 1, payload: hex(payload) });
  assert.deepEqual(acknowledgement(end("")), { seq: 9, errno: 0 });
  assert.deepEqual(acknowledgement(end("00000000")), { seq: 9, errno: 0 });
  assert.deepEqual(acknowledgement(end("fcffffff 0700 0100 6e6f 0000", 0x202)), {
    seq: 9,
    errno: 4,
    extack: "no",
  });
});

Deno.test("a message of another type is no acknowledgement", () => {
  assert.throws(() => acknowledgement({ type: 16, flags: 0, seq: 1, pid: 0, payload: hex("") }), /no acknow/);
});

Deno.test("values are read in the byte order of the getter", () => {
  const value = new Attribute(1, hex("0102030405060708"));
  assert.equal(value.u8(), 0x01);
  assert.equal(value.u16be(), 0x0102);
  assert.equal(value.u16le(), 0x0201);
  assert.equal(value.u32be(), 0x01020304);
  assert.equal(value.u32le(), 0x04030201);
  assert.equal(value.u64be(), 0x0102030405060708n);
  assert.equal(value.u64le(), 0x0807060504030201n);
  assert.equal(value.latin1(), "\x01\x02\x03\x04\x05\x06\x07\x08");
  assert.equal(new Attribute(1, new Uint8Array(70_000).fill(0xfe)).latin1(), "\xfe".repeat(70_000));
});

Deno.test("text ends at the first NUL, or at the end if there is none", () => {
  assert.equal(new Attribute(1, hex("6e c3a9 00 78")).string(), "né");
  assert.equal(new Attribute(1, hex("6e6f")).string(), "no");
  assert.equal(new Attribute(1, hex("")).string(), "");
});

Deno.test("a value that is too short for its getter is an error that names the attribute", () => {
  const short = new Attribute(7, hex("010203"));
  assert.throws(() => short.u32be(), /truncated value of attribute 7: needs 4 bytes, has 3/);
  assert.throws(() => short.u64le(), RangeError);
  assert.throws(() => new Attribute(7, hex("")).u8(), RangeError);
});

Deno.test("the type of an attribute excludes its flag bits", () => {
  const payload = hex("0800 03c0 0400 0180");
  const [nest] = attributes(payload);
  assert.equal(nest?.type, 3);
  assert.equal(nest?.attribute(1)?.bytes.length, 0);
  assert.equal(nest?.attribute(2), undefined);
  assert.equal([...nest?.attributes() ?? []].length, 1);
});

Deno.test("the first attribute of a type is found behind a fixed header", () => {
  const payload = hex("00000000 0500 0100 01000000 0500 0200 02000000 0500 0200 03000000");
  assert.equal(attribute(payload, 2, 4)?.u8(), 2);
  assert.equal(attribute(payload, 3, 4), undefined);
  assert.throws(() => attribute(payload, 1, 99), /truncated fixed header/);
});

Deno.test("the last attribute and the last message may lack their padding", () => {
  assert.deepEqual([...attributes(hex("0500 0100 12"))].map((found) => found.u8()), [0x12]);
  assert.equal([...messages(hex("11000000 0100 0000 00000000 00000000 ff"))].length, 1);
});

Deno.test("lengths that point outside are errors", () => {
  assert.throws(() => [...attributes(hex("0300 0100"))], /truncated attribute/);
  assert.throws(() => [...attributes(hex("0000 0000"))], /truncated attribute/);
  assert.throws(() => [...attributes(hex("0900 0100 01020304"))], /needs 9 bytes, has 8/);
  assert.throws(() => [...attributes(hex("0400 01"))], /truncated attribute header/);
  assert.throws(() => [...messages(hex("10000000 0100"))], /truncated message header/);
  assert.throws(() => [...messages(hex("0f000000 0100 0000 00000000 00000000"))], /truncated message/);
  assert.throws(() => [...messages(hex("ffffffff 0100 0000 00000000 00000000"))], /truncated message/);
  const echoesTooMuch = hex("ffffffff f0ffffff 0a00 0000 00000000 00000000");
  assert.throws(
    () => acknowledgement({ type: 2, flags: 0x200, seq: 0, pid: 0, payload: echoesTooMuch }),
    /truncated rejected message/,
  );
});

Deno.test("every truncation of a real answer is decoded or a RangeError, and no byte outside of it is read", () => {
  for (let length = 0; length < rejectedRoute.length; length++) {
    // The bytes behind the datagram in its buffer do not belong to it.
    const datagram = rejectedRoute.subarray(0, length);
    if (length > 0) assert.throws(() => [...messages(datagram)], RangeError);
    const payload = rejectedRoute.subarray(16, 16 + length);
    readOrRefuse(() => acknowledgement({ type: 2, flags: 0x200, seq: 0, pid: 0, payload }));
  }
});

Deno.test("any bytes decode, or throw a RangeError", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, framed) => {
    const writer = new MessageWriter();
    writer.begin(2, 0x200, 1);
    writer.rawBytes(bytes);
    writer.end();
    readOrRefuse(() => {
      for (const message of messages(framed ? writer.bytes() : bytes)) {
        if (message.type === 2 || message.type === 3) acknowledgement(message);
        for (const found of attributes(message.payload, 4)) {
          [...found.attributes()].map((inner) => inner.u32be());
        }
      }
    });
  }));
});

function readOrRefuse(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    assert.match(error.message, /^netlink: truncated/);
  }
}
