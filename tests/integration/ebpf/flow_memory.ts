import { SIZE } from "../../../backends/ebpf/maps/layout.ts";
import type { BpfMap } from "../../../ffi/bpf/map.ts";
import type { BpfObject } from "../../../ffi/bpf/object.ts";
import { libbpf } from "../../../ffi/libbpf.ts";
import { openLibrary } from "../../../ffi/open.ts";

/** struct tuple: two addresses, two ports, the protocol, and zeros. */
const TUPLE = { bytes: 40, name: 37 };
/** struct flow: the translated tuple, then clocks. */
const FLOW = { born: TUPLE.bytes, seen: TUPLE.bytes + 8 };
/** struct choice: an address and a port, of which list and generation, and the clock. */
const CHOICE = { used: 32 };
/** struct revisit */
const REVISIT = { born: TUPLE.bytes, due: TUPLE.bytes + 8 };

const NANOSECONDS = 1_000_000_000n;

/** What is remembered of flows, in the maps conntrack and revisits, and of clients. */
export class FlowMemory {
  readonly #object: BpfObject;

  constructor(object: BpfObject) {
    this.#object = object;
  }

  /** Entries of conntrack. */
  get entries(): number {
    return countOf(this.#object, "conntrack");
  }

  /** Those of them whose other direction is not there, or is of another flow. */
  get halves(): number {
    using map = this.#object.map("conntrack");
    const flows = new Map<string, string>();
    map.forEach((keys, keyOffset, values, valueOffset) => {
      flows.set(tupleAt(keys, keyOffset), reversed(tupleAt(values, valueOffset)));
    });
    let halves = 0;
    for (const [tuple, other] of flows) if (flows.get(other) !== tuple) halves++;
    return halves;
  }

  forget(): void {
    using map = this.#object.map("conntrack");
    for (const key of [...map.keys()]) map.delete(key);
    using queue = this.#object.map("revisits");
    for (const _ of taken(queue));
  }

  /** Forgets every entry of one direction: those of answers, or those of packets to a service. */
  forgetHalf(replies: boolean): void {
    using map = this.#object.map("conntrack");
    const value = new Uint8Array(map.shape.valueSize);
    for (const key of [...map.keys()]) {
      const isReply = map.lookup(key, value) && (value[FLOW_FLAGS]! & FLOW_REPLY) !== 0;
      if (isReply === replies) map.delete(key);
    }
  }

  /**
   * As if so much time had gone by without packets.
   * @returns how many revisits wait for their turn.
   */
  age(seconds: number): number {
    const by = BigInt(seconds) * NANOSECONDS;
    for (
      const [name, clocks] of [["conntrack", [FLOW.born, FLOW.seen]], ["affinity", [CHOICE.used]]] as const
    ) {
      using map = this.#object.map(name);
      const value = new Uint8Array(map.shape.valueSize);
      for (const key of [...map.keys()]) {
        if (!map.lookup(key, value)) continue;
        turnBack(value, by, ...clocks);
        map.update(key, value);
      }
    }
    using queue = this.#object.map("revisits");
    const revisits = [...taken(queue)];
    for (const revisit of revisits) {
      turnBack(revisit, by, REVISIT.born, REVISIT.due);
      libbpf().bpf_map_update_elem(queue.fd, null, revisit, 0n);
    }
    return revisits.length;
  }
}

export function countOf(object: BpfObject, name: string): number {
  using map = object.map(name);
  return [...map.keys()].length;
}

/** struct flow, and enum flow_flag */
const FLOW_FLAGS = TUPLE.bytes + 24;
const FLOW_REPLY = 1;

function turnBack(value: Uint8Array<ArrayBuffer>, by: bigint, ...offsets: readonly number[]): void {
  const view = new DataView(value.buffer);
  for (const offset of offsets) view.setBigInt64(offset, view.getBigInt64(offset, true) - by, true);
}

/** Takes everything out of a queue. */
function* taken(queue: BpfMap): Generator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    const value = new Uint8Array(queue.shape.valueSize);
    if (queues().bpf_map_lookup_and_delete_elem(queue.fd, null, value) !== 0) return;
    yield value;
  }
}

function tupleAt(view: DataView, offset: number): string {
  return Array.from(
    new Uint8Array(view.buffer, offset, TUPLE.name),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");
}

/** The name of a tuple of the other direction. */
function reversed(name: string): string {
  const address = 2 * SIZE.address;
  const [source, destination] = [name.slice(0, address), name.slice(address, 2 * address)];
  const ports = name.slice(2 * address);
  return destination + source + ports.slice(4, 8) + ports.slice(0, 4) + ports.slice(8);
}

/** What only tests need of libbpf. */
const symbols = {
  /** int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value) */
  bpf_map_lookup_and_delete_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
} as const;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

function queues() {
  return opened ??= openLibrary({ soname: "libbpf.so.1", debianPackage: "libbpf1" }, symbols);
}
