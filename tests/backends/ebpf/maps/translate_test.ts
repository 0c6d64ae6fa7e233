import assert from "node:assert/strict";
import { OFFSET, SIZE, viewOf, writeFrontend, writeService } from "../../../../backends/ebpf/maps/layout.ts";
import { openObject } from "../../../../backends/ebpf/programs/objects.ts";
import { entryTranslation } from "../../../../backends/ebpf/maps/translate.ts";
import { sameLayout, type TypeLayout } from "../../../../ffi/bpf/btf.ts";
import { addressOf } from "../../plans.ts";
import { readTypes } from "./btf.ts";

const u32: TypeLayout = { kind: "integer", size: 4 };
const u16: TypeLayout = { kind: "integer", size: 2 };

/** A struct whose members follow each other without gaps. */
function struct(members: Readonly<Record<string, TypeLayout>>): TypeLayout {
  let size = 0;
  const placed = Object.entries(members).map(([name, type]) => {
    const offset = size;
    size += type.size;
    return [name, { offset, type }] as const;
  });
  return { kind: "struct", size, members: new Map(placed) };
}

function array(element: TypeLayout, count: number): TypeLayout {
  return { kind: "array", size: element.size * count, element, count };
}

function enumeration(...names: readonly string[]): TypeLayout {
  return { kind: "enum", size: 4, names: new Map(names.map((name, value) => [value, name])) };
}

/** Translates the value of an entry whose key is one number. */
function translated(from: TypeLayout, to: TypeLayout, value: string): string | undefined {
  const translate = entryTranslation({ key: u32, value: from }, { key: u32, value: to });
  assert(translate !== undefined);
  const target = new Uint8Array(to.size);
  const isTranslated = translate(
    {
      key: viewOf(Uint8Array.fromHex("01000000")),
      keyOffset: 0,
      value: viewOf(Uint8Array.fromHex(value)),
      valueOffset: 0,
    },
    { key: viewOf(new Uint8Array(4)), keyOffset: 0, value: viewOf(target), valueOffset: 0 },
  );
  return isTranslated ? target.toHex() : undefined;
}

Deno.test("members are translated by name, also in nested structs, and missing ones are zero", () => {
  const from = struct({ a: u32, inner: struct({ x: u16, y: u16 }), gone: u32 });
  const to = struct({ added: u32, inner: struct({ y: u16, z: u16, x: u16 }), a: u32 });
  assert.equal(
    translated(from, to, "11111111" + "2222" + "3333" + "44444444"),
    "00000000333300002222" + "11111111",
  );
});

Deno.test("numbers may become wider or narrower, and arrays longer or shorter", () => {
  const [narrow, wide] = [struct({ n: u16, list: array(u16, 3) }), struct({ n: u32, list: array(u16, 2) })];
  assert.equal(translated(narrow, wide, "0102" + "aaaabbbbcccc"), "01020000" + "aaaabbbb");
  assert.equal(translated(wide, narrow, "01020000" + "aaaabbbb"), "0102" + "aaaabbbb0000");
});

Deno.test("enumerators are translated by name, and an entry with an unknown one is left out", () => {
  const [from, to] = [enumeration("A", "B", "C"), enumeration("NEW", "C", "A")].map((kind) =>
    struct({ kind })
  );
  assert(from !== undefined && to !== undefined);
  assert.equal(translated(from, to, "02000000"), "01000000");
  assert.equal(translated(from, to, "00000000"), "02000000");
  assert.equal(translated(from, to, "01000000"), undefined);
  assert.equal(translated(from, to, "09000000"), undefined);
});

Deno.test("types without anything in common have no translation", () => {
  assert.equal(
    entryTranslation({ key: u32, value: struct({ a: u32 }) }, { key: u32, value: struct({ b: u32 }) }),
    undefined,
  );
  assert.equal(
    entryTranslation({ key: struct({ a: u32 }), value: u32 }, { key: u32, value: u32 }),
    undefined,
  );
});

// libbpf stays open.
Deno.test("a translated entry has the checksum that programs expect", { sanitizeResources: false }, () => {
  using object = openObject("sock");
  const { key, value } = object.definition("services");
  assert(key !== undefined && value?.kind === "struct");
  const old = struct(
    Object.fromEntries([...value.members].map(([name, { type }]) => [name, type]).reverse()),
  );
  const [keyBytes, valueBytes] = [new Uint8Array(SIZE.frontend), new Uint8Array(SIZE.service)];
  const list = { first: 1, count: 2 };
  writeFrontend(viewOf(keyBytes), 0, addressOf("10.96.0.10"), 80, "TCP");
  const service = { id: 7, verdict: 0, flags: 3, affinitySeconds: 9, generation: 5 };
  writeService(
    viewOf(valueBytes),
    0,
    { ...service, cluster: list, local: list, serving: list },
    viewOf(keyBytes),
    0,
  );
  const there = entryTranslation({ key, value }, { key, value: old });
  const back = entryTranslation({ key, value: old }, { key, value });
  const entry = (value: Uint8Array<ArrayBuffer>) => ({
    key: viewOf(keyBytes),
    keyOffset: 0,
    value: viewOf(value),
    valueOffset: 0,
  });
  const [reversed, again] = [new Uint8Array(SIZE.service), new Uint8Array(SIZE.service)];
  assert(there?.(entry(valueBytes), entry(reversed)) && back?.(entry(reversed), entry(again)));
  assert.equal(again.toHex(), valueBytes.toHex());
  assert.notEqual(viewOf(again).getUint32(OFFSET.service.check, true), 0);
});

Deno.test("types are read as bpftool reads them", { sanitizeResources: false }, async () => {
  const structs = await readTypes("sock");
  using object = openObject("sock");
  for (const [map, name] of Object.entries({ services: "service", conntrack: "flow", affinity: "choice" })) {
    const { value, valueSize } = object.definition(map);
    assert(value?.kind === "struct", map);
    const expected = structs.get(name);
    assert.equal(value.size, expected?.size);
    assert.equal(value.size, valueSize);
    const offsets = Object.fromEntries([...value.members].map(([name, { offset }]) => [name, offset]));
    assert.deepEqual(offsets, expected?.offsets);
  }
  const [affinity, choices] = [object.definition("affinity"), object.definition("socket_affinity")];
  const { key, value } = affinity;
  assert(
    key?.kind === "struct" && value !== undefined && choices.key !== undefined && choices.value !== undefined,
  );
  assert(sameLayout(key, choices.key) && sameLayout(value, choices.value));
  assert(!sameLayout(key, value));
  const kind = key.members.get("kind")?.type;
  assert(kind?.kind === "enum");
  assert.deepEqual([...kind.names.values()], ["CLIENT_ADDRESS", "CLIENT_NAMESPACE"]);
});
