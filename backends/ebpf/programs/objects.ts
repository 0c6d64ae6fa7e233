import { BpfObject } from "../../../ffi/bpf/object.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { embeddedFile } from "../../../ffi/libraries/library.ts";
import type { Pins } from "./pins.ts";
import type { Capacity } from "../options.ts";

/** Object file that scripts/bpf.sh compiles from bpf/NAME.bpf.c. `tc_netfilter` has the programs of `tc`. */
export type ObjectName = "sock" | "tc" | "tc_netfilter" | "destroy" | "find";

/**
 * Opens an object file without loading anything into the kernel.
 * @throws Error if the file was not built.
 */
export function openObject(name: ObjectName): BpfObject {
  const file = `${name}.bpf.o`;
  const elf = embeddedFile(file) ?? builtFile(file);
  if (elf === undefined) throw new Error(`dist/bpf/${file} is missing: run scripts/bpf.sh`);
  return BpfObject.open(file, elf);
}

/** Called for each map before it is opened or created. */
export type PrepareMap = (object: BpfObject, map: string) => void;

/** Loads an object file with pinned maps. Missing maps are created and pinned. */
export function loadPinned(
  pins: Pins,
  capacity: Capacity,
  name: ObjectName,
  prepare: PrepareMap = () => {},
): BpfObject {
  const maxEntries = maxEntriesOf(capacity);
  return load(name, (object, map) => {
    const max = maxEntries[map];
    if (max !== undefined) object.setMaxEntries(map, max);
    object.setPinPath(map, pins.map(map));
    prepare(object, map);
  });
}

/**
 * Loads the programs for packets. Those that leave the flows of netfilter alone come first: they need kernel functions
 * (kfuncs) that a kernel without BTF of its connection tracking lacks.
 */
export function loadPacketPrograms(pins: Pins, capacity: Capacity, prepare: PrepareMap): BpfObject {
  try {
    return loadPinned(pins, capacity, "tc_netfilter", prepare);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return loadPinned(pins, capacity, "tc", prepare);
  }
}

/** Share of the connections: for flows that are not assured, for UDP, and for closed connections. */
function portionOf(connections: number): number {
  return Math.ceil(connections / 2);
}

/** Loads an object file with small maps of its own, to find out whether the kernel accepts the programs. */
export function loadUnpinned(name: ObjectName): BpfObject {
  return load(name, (object, map) => {
    if (object.maxEntries(map) > UNPINNED_MAX_ENTRIES) object.setMaxEntries(map, UNPINNED_MAX_ENTRIES);
  });
}

const UNPINNED_MAX_ENTRIES = 64;

/** Reads the file that scripts/bpf.sh wrote, when the proxy runs from its sources. */
function builtFile(file: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(new URL(`../../../dist/bpf/${file}`, import.meta.url));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

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

/**
 * Maximum number of entries of each map whose size is configurable. The others have the size in bpf/maps/.
 */
function maxEntriesOf(capacity: Capacity): Readonly<Record<string, number>> {
  return {
    services: capacity.frontends,
    owners: capacity.frontends,
    counters: capacity.frontends,
    source_ranges: capacity.frontends,
    endpoints: capacity.endpoints,
    affinity: capacity.clients,
    socket_affinity: capacity.clients,
    // One entry per direction.
    conntrack: 2 * capacity.connections,
    conntrack_new: 2 * portionOf(capacity.connections),
    conntrack_udp: 2 * portionOf(capacity.connections),
    revisits: capacity.connections,
    closed_flows: portionOf(capacity.connections),
  };
}
