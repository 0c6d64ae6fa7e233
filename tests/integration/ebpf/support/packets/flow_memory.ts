import { SIZE } from "../../../../../backends/ebpf/maps/layout.ts";
import type { BpfMap } from "../../../../../ffi/bpf/map.ts";
import type { BpfObject } from "../../../../../ffi/bpf/object.ts";
import { libbpf } from "../../../../../ffi/libbpf.ts";
import { openLibrary } from "../../../../../ffi/library.ts";

/** Reads and changes what the programs stored of flows and clients: maps conntrack, revisits, affinity, own_datagrams. */
export class FlowMemory {
  readonly #object: BpfObject;

  constructor(object: BpfObject) {
    this.#object = object;
  }

  /** Entries of conntrack. */
  get entries(): number {
    return countOf(this.#object, "conntrack");
  }

  /** Entries of conntrack whose opposite direction is missing or belongs to another flow. */
  get unpaired(): number {
    using map = this.#object.map("conntrack");
    const flows = new Map<string, string>();
    map.forEach((keys, keyOffset, values, valueOffset) => {
      flows.set(tupleAt(keys, keyOffset), reversed(tupleAt(values, valueOffset)));
    });
    let unpaired = 0;
    for (const [tuple, opposite] of flows) if (flows.get(opposite) !== tuple) unpaired++;
    return unpaired;
  }

  /** Deletes all flows. */
  forget(): void {
    using map = this.#object.map("conntrack");
    for (const key of [...map.keys()]) map.delete(key);
    using queue = this.#object.map("revisits");
    for (const _ of popAll(queue));
  }

  /** Deletes the entries of one direction: those of replies, or those of packets to a service. */
  evict(replies: boolean): void {
    using map = this.#object.map("conntrack");
    const value = new Uint8Array(map.shape.valueSize);
    for (const key of [...map.keys()]) {
      const isReply = map.lookup(key, value) && (value[FLOW.flags]! & FLOW_REPLY) !== 0;
      if (isReply === replies) map.delete(key);
    }
  }

  /**
   * Moves all timestamps back, as if `seconds` had passed without packets.
   * @returns the number of revisits in the queue.
   */
  age(seconds: number): number {
    const by = BigInt(seconds) * NANOSECONDS;
    for (
      const [name, timestamps] of [
        ["conntrack", [FLOW.born, FLOW.seen]],
        ["affinity", [CHOICE.used]],
        ["own_datagrams", [0]],
      ] as const
    ) {
      using map = this.#object.map(name);
      const value = new Uint8Array(map.shape.valueSize);
      for (const key of [...map.keys()]) {
        if (!map.lookup(key, value)) continue;
        moveBack(value, by, ...timestamps);
        map.update(key, value);
      }
    }
    using queue = this.#object.map("revisits");
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

const NANOSECONDS = 1_000_000_000n;

/**
 * struct tuple: two addresses, two ports, the protocol, and zeros; `significant` counts the bytes before the
 * zeros.
 */
const TUPLE = { bytes: 40, significant: 37 };
/** struct flow: the translated tuple, timestamps, flags. */
const FLOW = { born: TUPLE.bytes, seen: TUPLE.bytes + 8, flags: TUPLE.bytes + 24 };
/** enum flow_flag */
const FLOW_REPLY = 1;
/** struct choice: an address and a port, the list and generation, the timestamp. */
const CHOICE = { used: 32 };
/** struct revisit */
const REVISIT = { born: TUPLE.bytes, due: TUPLE.bytes + 8 };

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
