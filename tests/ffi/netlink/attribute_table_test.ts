import assert from "node:assert/strict";
import fc from "fast-check";
import { AttributeTable } from "../../../ffi/netlink/attribute_table.ts";
import { attributes } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";

function filled(write: (writer: MessageWriter) => void): AttributeTable {
  const writer = new MessageWriter();
  write(writer);
  const table = new AttributeTable(8);
  table.fill(writer.bytes());
  return table;
}

Deno.test("numbers are read in the byte order of the getter", () => {
  const table = filled((writer) => {
    writer.attrU16be(1, 0x1f90);
    writer.attrU32le(2, 0xfffffffe);
    writer.attrU64be(3, 0x0500_0000_0100_0000n);
  });
  assert.deepEqual([table.u16be(1), table.u16le(1)], [0x1f90, 0x901f]);
  assert.deepEqual([table.u32le(2), table.u32be(2)], [0xfffffffe, 0xfeffffff]);
  assert.equal(table.u64le(3), 2 ** 32 + 5);
});

Deno.test("a missing or short attribute, or a higher type, reads as 0", () => {
  const table = filled((writer) => {
    writer.attrU8(1, 7);
    writer.attrU32le(9, 7);
  });
  assert.deepEqual([table.has(1), table.has(2), table.has(9)], [true, false, false]);
  assert.deepEqual([table.u16le(1), table.u32le(2), table.u64le(9), table.bytes(2).length], [0, 0, 0, 0]);
  assert.deepEqual([...table.bytes(1)], [7]);
});

Deno.test("nested attributes are read through the outer table, and replace those of the previous nest", () => {
  const outer = filled((writer) => writer.nest(4, () => writer.attrU32le(2, 5)));
  const inner = new AttributeTable(8);
  inner.fillFrom(outer, 4);
  assert.equal(inner.u32le(2), 5);
  inner.fillFrom(outer, 3);
  assert.equal(inner.has(2), false);
});

Deno.test("the table reads and rejects the same bytes as the general reader", () => {
  const table = new AttributeTable(0x3fff);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    let expected: [number, Uint8Array][] | undefined;
    try {
      expected = [...attributes(bytes)].map(({ type, bytes }) => [type, bytes]);
    } catch {
      assert.throws(() => table.fill(bytes), RangeError);
      return;
    }
    table.fill(bytes);
    for (const [type, value] of new Map(expected)) assert.deepEqual(table.bytes(type), value);
  }));
});
