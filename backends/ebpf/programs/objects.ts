import { BackendError } from "../../../core/backend/contract.ts";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { BpfObject } from "../../../ffi/bpf/object.ts";
import { embeddedFile } from "../../../ffi/library.ts";
import type { Pins } from "./pins.ts";
import type { Capacity } from "../options.ts";

/** Compiled by scripts/bpf.sh from bpf/NAME.bpf.c. */
export type ObjectName = "sock" | "tc" | "destroy" | "find";

/**
 * Opens a file of programs; nothing is in the kernel yet.
 * @throws Error when it was not built.
 */
export function openObject(name: ObjectName): BpfObject {
  const file = `${name}.bpf.o`;
  const elf = embeddedFile(file) ?? builtFile(file);
  if (elf === undefined) throw new Error(`dist/bpf/${file} is missing: run scripts/bpf.sh`);
  return BpfObject.open(file, elf);
}

/** What scripts/bpf.sh made, for who runs from the sources. */
function builtFile(file: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(new URL(`../../../dist/bpf/${file}`, import.meta.url));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Loads a file of programs over the maps that are pinned; those that are missing are made and pinned. */
export function loadOver(pins: Pins, capacity: Capacity, name: ObjectName): BpfObject {
  const sizes = sizesOf(capacity);
  return load(name, (object, map) => {
    const size = sizes[map];
    if (size !== undefined) object.setMaxEntries(map, size);
    object.setPinPath(map, pins.map(map));
  });
}

/** Loads a file of programs over maps of its own with hardly any room: to see what the kernel says to the programs. */
export function loadAlone(name: ObjectName): BpfObject {
  return load(name, (object, map) => {
    if (object.maxEntries(map) > LITTLE) object.setMaxEntries(map, LITTLE);
  });
}

const LITTLE = 64;

function load(name: ObjectName, prepare: (object: BpfObject, map: string) => void): BpfObject {
  const object = openObject(name);
  try {
    for (const map of object.mapNames) prepare(object, map);
    object.load();
    return object;
  } catch (error) {
    object[Symbol.dispose]();
    throw error;
  }
}

/** Maps that are not as large as bpf/maps.h says. */
function sizesOf(capacity: Capacity): Readonly<Record<string, number>> {
  return {
    services: capacity.frontends,
    counters: capacity.frontends,
    source_ranges: capacity.frontends,
    endpoints: capacity.endpoints,
    affinity: capacity.clients,
    peers: capacity.clients,
    socket_choices: capacity.clients,
    // An entry for each direction.
    conntrack: 2 * capacity.connections,
    revisits: capacity.connections,
  };
}

/** A map that is pinned. */
export function pinnedMap(pins: Pins, name: string): BpfMap {
  const map = BpfMap.pinned(name, pins.map(name));
  if (map === undefined) throw new BackendError(`ebpf: BPF map ${pins.map(name)} is gone`);
  return map;
}
