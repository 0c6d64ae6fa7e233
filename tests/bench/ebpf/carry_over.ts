import assert from "node:assert/strict";
import process from "node:process";
import { parseArgs } from "node:util";
import { copyEntries } from "../../../backends/ebpf/maps/copy_entries.ts";
import { moveFlows } from "../../../backends/ebpf/maps/move_flows.ts";
import { openObject } from "../../../backends/ebpf/programs/objects.ts";
import type { BpfMap, MapDefinition } from "../../../ffi/bpf/map.ts";
import { milliseconds } from "../report.ts";

// Measures how long it takes to carry over flows to new maps: a first copy, a second one that finds nothing new, and the
// move at the end.
//   deno run -A tests/bench/ebpf/carry_over.ts [--flows N]

const { values } = parseArgs({ options: { flows: { type: "string", default: "100000" } } });
const flows = Number(values.flows);

for (const name of ["same", "another"] as const) {
  const [old, target] = [conntrack(), conntrack()];
  fill(old.map, 2 * flows);
  const from = {
    map: old.map,
    definition: name === "same" ? old.definition : withoutLastMember(old.definition),
  };
  measure(`${name} layout, first copy`, () => copyEntries(from, target, "all"));
  measure(`${name} layout, second copy`, () => copyEntries(from, target, "missing"));
  let copied = 0;
  target.map.forEach(() => copied++);
  // An LRU map may evict some before it is full.
  assert(copied > 1.9 * flows, `${copied} entries`);
  measure(`${name} layout, move`, () => moveFlows(from, target, { servedBy: "old programs", copiedNs: 0n }));
}

function measure(what: string, run: () => void): void {
  const [before, started] = [process.cpuUsage(), performance.now()];
  run();
  const wallMs = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  const cpu = `CPU ${milliseconds(user / 1000)} user, ${milliseconds(system / 1000)} system`;
  console.log(`${flows} flows, ${what}: ${milliseconds(wallMs)} (${cpu})`);
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
