import { FLOW, FLOW_STATE, OFFSET, SIZE } from "../../../../../backends/ebpf/maps/layout.ts";
import type { BpfMap } from "../../../../../ffi/bpf/map.ts";
import type { BpfObject } from "../../../../../ffi/bpf/object.ts";
import { libbpf } from "../../../../../ffi/libraries/libbpf.ts";
import { openLibrary } from "../../../../../ffi/libraries/library.ts";

/** The maps of flows: bpf/flows/flow_table.h */
const FLOW_MAPS = ["conntrack", "conntrack_udp", "conntrack_new"] as const;
const QUEUES = ["revisits", "closed_flows"] as const;

/** Reads and changes what the programs stored of flows and clients. */
export class FlowMemory {
  readonly #object: BpfObject;

  constructor(object: BpfObject) {
    this.#object = object;
  }

  /** Entries of flows. */
  get entries(): number {
    return FLOW_MAPS.reduce((sum, name) => sum + countOf(this.#object, name), 0);
  }

  /** Entries of assured flows. */
  get assured(): number {
    return this.entries - countOf(this.#object, "conntrack_new");
  }

  /** Entries whose opposite direction is missing, belongs to another flow, or is in another map. */
  get unpaired(): number {
    let unpaired = 0;
    for (const name of FLOW_MAPS) {
      using map = this.#object.map(name);
      const flows = new Map<string, string>();
      map.forEach((keys, keyOffset, values, valueOffset) => {
        flows.set(tupleAt(keys, keyOffset), reversed(tupleAt(values, valueOffset)));
      });
      for (const [tuple, opposite] of flows) if (flows.get(opposite) !== tuple) unpaired++;
    }
    return unpaired;
  }

  /** The state of each flow, as names of FLOW_STATE; with a mark if its two entries differ. */
  get states(): readonly string[] {
    const states: string[] = [];
    for (const name of FLOW_MAPS) {
      using map = this.#object.map(name);
      const value = new Uint8Array(map.shape.valueSize);
      const view = new DataView(value.buffer);
      const stateOf = (key: Uint8Array<ArrayBuffer>) =>
        map.lookup(key, value) ? view.getUint32(OFFSET.flow.state, true) : Number.NaN;
      for (const key of [...map.keys()]) {
        const state = stateOf(key);
        if (view.getUint32(OFFSET.flow.flags, true) & FLOW.REPLY) continue;
        const opposite = reversed(tupleAt(view, OFFSET.flow.translated)).padEnd(2 * TUPLE.bytes, "0");
        const isSame = stateOf(Uint8Array.fromHex(opposite)) === state;
        states.push(isSame ? namesOf(state) : `${namesOf(state)} (in one entry)`);
      }
    }
    return states.toSorted();
  }

  /** Deletes all flows. */
  forget(): void {
    for (const name of FLOW_MAPS) {
      using map = this.#object.map(name);
      for (const key of [...map.keys()]) map.delete(key);
    }
    for (const name of QUEUES) {
      using queue = this.#object.map(name);
      for (const _ of popAll(queue));
    }
  }

  /** Deletes the entries of one direction: those of replies, or those of packets to a service. */
  evict(replies: boolean): void {
    for (const name of FLOW_MAPS) {
      using map = this.#object.map(name);
      const value = new Uint8Array(map.shape.valueSize);
      for (const key of [...map.keys()]) {
        const isReply = map.lookup(key, value) && (value[OFFSET.flow.flags]! & FLOW.REPLY) !== 0;
        if (isReply === replies) map.delete(key);
      }
    }
  }

  /**
   * Moves all timestamps back, as if `seconds` had passed without packets.
   * @returns the number of revisits in the queue.
   */
  age(seconds: number): number {
    const by = BigInt(Math.round(seconds * 1e9));
    const stamps = [
      ...FLOW_MAPS.map((name) => [name, [OFFSET.flow.born, OFFSET.flow.seen]] as const),
      ["affinity", [CHOICE.used]] as const,
      ["own_datagrams", [0]] as const,
      ["fragments", [0]] as const,
    ];
    for (const [name, timestamps] of stamps) {
      using map = this.#object.map(name);
      const value = new Uint8Array(map.shape.valueSize);
      for (const key of [...map.keys()]) {
        if (!map.lookup(key, value)) continue;
        moveBack(value, by, ...timestamps);
        map.update(key, value);
      }
    }
    return Math.max(...QUEUES.map((name) => this.#ageQueue(name, by)));
  }

  #ageQueue(name: string, by: bigint): number {
    using queue = this.#object.map(name);
    const revisits = [...popAll(queue)];
    for (const revisit of revisits) {
      moveBack(revisit, by, REVISIT.born, REVISIT.due);
      libbpf().bpf_map_update_elem(queue.fd, null, revisit, 0n);
    }
    return revisits.length;
  }
}

/** Number of entries of a map. */
export function countOf(object: BpfObject, name: string): number {
  using map = object.map(name);
  return [...map.keys()].length;
}

/**
 * struct tuple: two addresses, two ports, the protocol, and zeros; `significant` counts the bytes before the
 * zeros.
 */
const TUPLE = { bytes: 40, significant: 37 };
/** struct choice: an address and a port, the list and generation, the timestamp. */
const CHOICE = { used: 32 };
/** struct revisit */
const REVISIT = { born: TUPLE.bytes, due: TUPLE.bytes + 8 };

function namesOf(state: number): string {
  return Object.entries(FLOW_STATE).filter(([, flag]) => state & flag).map(([name]) => name).join(" ");
}

function moveBack(value: Uint8Array<ArrayBuffer>, by: bigint, ...offsets: readonly number[]): void {
  const view = new DataView(value.buffer);
  for (const offset of offsets) view.setBigInt64(offset, view.getBigInt64(offset, true) - by, true);
}

/** Removes every value of a queue. */
function* popAll(queue: BpfMap): Generator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    const value = new Uint8Array(queue.shape.valueSize);
    if (queues().bpf_map_lookup_and_delete_elem(queue.fd, null, value) !== 0) return;
    yield value;
  }
}

function tupleAt(view: DataView, offset: number): string {
  return Array.from(
    new Uint8Array(view.buffer, offset, TUPLE.significant),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");
}

/** The tuple of the opposite direction, in hexadecimal digits. */
function reversed(tuple: string): string {
  const address = 2 * SIZE.address;
  const [source, destination] = [tuple.slice(0, address), tuple.slice(address, 2 * address)];
  const ports = tuple.slice(2 * address);
  return destination + source + ports.slice(4, 8) + ports.slice(0, 4) + ports.slice(8);
}

/** Functions of libbpf that only tests need. */
const symbols = {
  /** int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value) */
  bpf_map_lookup_and_delete_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
} as const;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

function queues() {
  return opened ??= openLibrary({ soname: "libbpf.so.1", debianPackage: "libbpf1" }, symbols);
}
