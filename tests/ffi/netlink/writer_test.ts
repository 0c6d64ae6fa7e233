import assert from "node:assert/strict";
import fc from "fast-check";
import { attributes, messages } from "../../../ffi/netlink/reader.ts";
import { nfgenmsg } from "../../../ffi/netlink/nfnetlink.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { hex } from "./hex.ts";

Deno.test("a batch equals what `nft add element ip kube-proxy m '{ 10.0.0.1 . 80 : drop }'` sends", () => {
  const writer = new MessageWriter(16);
  writer.begin(0x10, 0x1, 0); // NFNL_MSG_BATCH_BEGIN
  nfgenmsg(writer, 0, 10);
  writer.end();
  writer.begin(0x0a0c, 0x401, 1); // NFT_MSG_NEWSETELEM
  nfgenmsg(writer, 2, 0);
  writer.attrString(1, "kube-proxy");
  writer.attrString(2, "m");
  writer.attrU32be(4, 1);
  writer.nest(3, () => {
    writer.nest(1, () => {
      writer.nest(1, () => writer.attrLatin1(1, "\x0a\x00\x00\x01\x00\x50\x00\x00"));
      writer.nest(2, () => writer.nest(2, () => writer.attrU32be(1, 0)));
    });
  });
  writer.end();
  writer.begin(0x11, 0x1, 2); // NFNL_MSG_BATCH_END
  nfgenmsg(writer, 0, 10);
  writer.end();

  // strace -e trace=sendmsg -e write=all, nft 1.0.6
  const sent = hex(`
    14 00 00 00 10 00 01 00  00 00 00 00 00 00 00 00
    00 00 00 0a 5c 00 00 00  0c 0a 01 04 01 00 00 00
    00 00 00 00 02 00 00 00  0f 00 01 00 6b 75 62 65
    2d 70 72 6f 78 79 00 00  06 00 02 00 6d 00 00 00
    08 00 04 00 00 00 00 01  28 00 03 80 24 00 01 80
    10 00 01 80 0c 00 01 00  0a 00 00 01 00 50 00 00
    10 00 02 80 0c 00 02 80  08 00 01 00 00 00 00 00
    14 00 00 00 11 00 01 00  02 00 00 00 00 00 00 00
    00 00 00 0a`);
  assert.deepEqual(writer.bytes(), sent);
});

Deno.test("every kind of attribute has the byte order of its method and is padded with zeros", () => {
  const writer = new MessageWriter();
  // Padding must not contain bytes of an earlier use of the buffer.
  writer.rawBytes(new Uint8Array(256).fill(0xff));
  writer.reset();
  writer.attrU8(1, 0x12);
  writer.attrU16be(2, 0x1234);
  writer.attrU16le(3, 0x1234);
  writer.attrU32be(4, 0xfedcba98);
  writer.attrU32le(5, 0xfedcba98);
  writer.attrU64be(6, 0x1_0000_0002);
  writer.attrU64be(7, 0xffff_ffff_ffff_fffen);
  writer.attrString(8, "né");
  writer.attrString(9, "");
  writer.attrBytes(10, new Uint8Array([1, 2, 3, 4, 5]));
  writer.attrBytes(11, new Uint8Array());
  writer.attrLatin1(12, "\xff");
  writer.attrLatin1(13, "");
  const expected = hex(`
    0500 0100 12000000
    0600 0200 12340000
    0600 0300 34120000
    0800 0400 fedcba98
    0800 0500 98badcfe
    0c00 0600 0000000100000002
    0c00 0700 fffffffffffffffe
    0800 0800 6ec3a900
    0500 0900 00000000
    0900 0a00 0102030405000000
    0400 0b00
    0500 0c00 ff000000
    0400 0d00`);
  assert.deepEqual(writer.bytes(), expected);
});

Deno.test("raw values follow each other without padding, and the message is padded at its end", () => {
  const writer = new MessageWriter(1);
  writer.begin(1, 2, 3);
  writer.rawU8(0x12);
  writer.rawU16be(0x1234);
  writer.rawU16le(0x1234);
  writer.rawU32le(0x12345678);
  writer.rawBytes(new Uint8Array([7, 8]));
  writer.end();
  const expected = hex(`
    1b000000 0100 0200 03000000 00000000
    12 1234 3412 78563412 0708 00`);
  assert.deepEqual(writer.bytes(), expected);
});

Deno.test("the reader reads what was written, with any attributes in any nesting", () => {
  fc.assert(fc.property(fc.array(fc.array(attribute, { maxLength: 5 }), { maxLength: 5 }), (contents) => {
    const writer = new MessageWriter(1);
    for (const [seq, tree] of contents.entries()) {
      writer.begin(seq, 1, seq);
      writer.rawU32le(seq);
      for (const node of tree) write(writer, node);
      writer.end();
    }
    const read = [...messages(writer.bytes())];
    assert.deepEqual(read.map((message) => message.seq), [...contents.keys()]);
    assert.deepEqual(read.map((message) => readTree(message.payload, 4, contents[message.seq])), contents);
  }));
});

Deno.test("a nested attribute of 65535 bytes is written, and a longer one is an error that names the limit", () => {
  const writer = new MessageWriter();
  const limit = 65535 - 4;
  writer.nest(3, () => writer.rawBytes(new Uint8Array(limit)));
  assert.deepEqual(writer.bytes().subarray(0, 4), hex("ffff 0380"));

  writer.reset();
  const overflow = () => writer.nest(3, () => writer.rawBytes(new Uint8Array(limit + 1)));
  assert.throws(overflow, /attribute 3 has 65536 bytes, .* at most 65535/);
});

Deno.test("a single attribute longer than 65535 bytes is an error", () => {
  const writer = new MessageWriter();
  writer.attrBytes(1, new Uint8Array(65531));
  assert.throws(() => writer.attrBytes(1, new Uint8Array(65532)), RangeError);
  assert.throws(() => writer.attrString(1, "x".repeat(65531)), RangeError);
  assert.throws(() => writer.attrLatin1(1, "x".repeat(65532)), RangeError);
});

Deno.test("a loop can split a list by the current length of its nested attribute", () => {
  const writer = new MessageWriter();
  const mark = writer.nestStart(1);
  for (let index = 0; index < 3; index++) writer.attrU32be(1, index);
  assert.equal(writer.length - mark, 4 + 3 * 8);
  writer.nestEnd(mark);
  assert.deepEqual(writer.bytes().subarray(0, 4), hex("1c00 0180"));
});

Deno.test("beginning a message inside another, or ending one twice, throws", () => {
  const writer = new MessageWriter();
  writer.begin(1, 0, 0);
  assert.throws(() => writer.begin(1, 0, 0), /begins inside another/);
  writer.end();
  assert.throws(() => writer.end(), /no message to end/);
});

Deno.test("reset frees the memory of a bulk load, and the writer remains usable", () => {
  const writer = new MessageWriter(64);
  writer.rawBytes(new Uint8Array(4 * 1024 * 1024));
  assert.ok(writer.bytes().buffer.byteLength >= 4 * 1024 * 1024);
  writer.reset();
  assert.equal(writer.length, 0);
  assert.equal(writer.bytes().buffer.byteLength, 64);
  writer.attrU8(1, 2);
  assert.deepEqual(writer.bytes(), hex("0500 0100 02000000"));
});

type Tree = { readonly type: number; readonly value: Uint8Array | readonly Tree[] };

const { attribute } = fc.letrec<{ attribute: Tree }>((tie) => ({
  attribute: fc.record({
    type: fc.integer({ min: 0, max: 0x3fff }),
    value: fc.oneof(
      { maxDepth: 4 },
      fc.uint8Array({ maxLength: 40 }),
      fc.array(tie("attribute"), { maxLength: 4 }),
    ),
  }, { noNullPrototype: true }),
}));

function write(writer: MessageWriter, { type, value }: Tree): void {
  if (value instanceof Uint8Array) writer.attrBytes(type, value);
  else writer.nest(type, () => value.forEach((child) => write(writer, child)));
}

/** Reads with the written tree as a guide, because bytes do not show whether they are nested attributes. */
function readTree(payload: Uint8Array, offset: number, written: readonly Tree[] = []): Tree[] {
  return [...attributes(payload, offset)].map(({ type, bytes }, index) => {
    const value = written[index]?.value;
    const nested = value !== undefined && !(value instanceof Uint8Array);
    return { type, value: nested ? readTree(bytes, 0, value) : Uint8Array.from(bytes) };
  });
}

Deno.test("a template is filled in where it was written, also after the buffer grew", () => {
  const writer = new MessageWriter(4);
  writer.rawU32le(0xffffffff);
  const at = writer.rawBytes(new Uint8Array(14));
  writer.patchLatin1(at, "\x0a\xff");
  writer.patchLatin1(at + 2, "abcdef", 2);
  writer.patchU16be(at + 4, 0x1234);
  writer.patchU16le(at + 6, 0x1234);
  writer.patchU32le(at + 8, 0xfedcba98);
  assert.deepEqual(writer.bytes(), hex("ffffffff 0aff 6162 1234 3412 98badcfe 0000"));
});

Deno.test("the option `nestedFlag` leaves NLA_F_NESTED out", () => {
  const write = (writer: MessageWriter) => {
    writer.nest(1, () => writer.nest(2, () => writer.attrU16be(3, 4)));
    return writer.bytes();
  };
  assert.deepEqual(write(new MessageWriter()), hex("10000180 0c000280 06000300 00040000"));
  assert.deepEqual(
    write(new MessageWriter(64, { nestedFlag: false })),
    hex("10000100 0c000200 06000300 00040000"),
  );
});
