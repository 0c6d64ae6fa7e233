import assert from "node:assert/strict";
import process from "node:process";
import { parseArgs } from "node:util";
import { copyEntries } from "../../../backends/ebpf/maps/copy_entries.ts";
import { openObject } from "../../../backends/ebpf/programs/objects.ts";
import type { BpfMap, MapDefinition } from "../../../ffi/bpf/map.ts";
import { milliseconds } from "../report.ts";

// Measures how long it takes to carry over flows to new maps: a first copy, and a second one that finds nothing new.
//   deno run -A tests/bench/ebpf/carry_over.ts [--flows N]

const { values } = parseArgs({ options: { flows: { type: "string", default: "100000" } } });
const flows = Number(values.flows);

const [old, same, translated] = [conntrack(), conntrack(), conntrack()];
fill(old.map, 2 * flows);
for (
  const [name, target, definition] of [
    ["with the same layout", same, old.definition],
    ["with another layout", translated, withoutLastMember(old.definition)],
  ] as const
) {
  const from = { map: old.map, definition };
  for (const what of ["all", "missing"] as const) {
    const [before, started] = [process.cpuUsage(), performance.now()];
    copyEntries(from, target, what);
    const wallMs = performance.now() - started;
    const { user, system } = process.cpuUsage(before);
    const cpu = `CPU ${milliseconds(user / 1000)} user, ${milliseconds(system / 1000)} system`;
    console.log(`${flows} flows ${name}, ${what} entries: ${milliseconds(wallMs)} (${cpu})`);
  }
  let copied = 0;
  target.map.forEach(() => copied++);
  // An LRU map may evict some before it is full.
  assert(copied > 1.9 * flows, `${copied} entries`);
}

function conntrack(): { readonly map: BpfMap; readonly definition: MapDefinition } {
  const object = openObject("tc");
  for (const name of object.mapNames) object.setMaxEntries(name, Math.min(object.maxEntries(name), 64));
  object.setMaxEntries("conntrack", 4 * flows);
  object.load();
  return { map: object.map("conntrack"), definition: object.definition("conntrack") };
}

function fill(map: BpfMap, count: number): void {
  const { keySize, valueSize } = map.shape;
  const [keys, contents] = [new Uint8Array(count * keySize), new Uint8Array(count * valueSize).fill(1)];
  const view = new DataView(keys.buffer);
  for (let index = 0; index < count; index++) view.setUint32(index * keySize, index, true);
  map.updateAll(keys, contents, count);
}

/** The definition as an earlier version might have it, so that entries are translated member by member. */
function withoutLastMember(definition: MapDefinition): MapDefinition {
  const { value } = definition;
  assert(value?.kind === "struct");
  return { ...definition, value: { ...value, members: new Map([...value.members].slice(0, -1)) } };
}
