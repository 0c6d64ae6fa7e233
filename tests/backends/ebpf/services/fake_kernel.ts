import type { CountedMap, EntryMap, KernelMaps } from "../../../../backends/ebpf/maps/kernel_maps.ts";
import { readService, SIZE, type SlotRange, viewOf } from "../../../../backends/ebpf/maps/layout.ts";

/** A hash map in memory. */
export class FakeMap implements EntryMap {
  readonly entries = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly shape: EntryMap["shape"];
  /** Called after every change. */
  onChange: () => void = () => {};

  constructor(keySize: number, valueSize: number, maxEntries = 1000) {
    this.shape = { keySize, valueSize, maxEntries };
  }

  update(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): void {
    this.entries.set(key.toHex(), value.slice());
    this.onChange();
  }

  lookup(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): boolean {
    const found = this.entries.get(key.toHex());
    if (found !== undefined) value.set(found);
    return found !== undefined;
  }

  delete(key: Uint8Array<ArrayBuffer>): boolean {
    const had = this.entries.delete(key.toHex());
    this.onChange();
    return had;
  }

  updateAll(keys: Uint8Array<ArrayBuffer>, values: Uint8Array<ArrayBuffer>, count: number): void {
    const { keySize, valueSize } = this.shape;
    for (let index = 0; index < count; index++) {
      this.update(
        keys.subarray(index * keySize, (index + 1) * keySize),
        values.subarray(index * valueSize, (index + 1) * valueSize),
      );
    }
  }

  deleteAll(keys: Uint8Array<ArrayBuffer>, count: number): void {
    const { keySize } = this.shape;
    for (let index = 0; index < count; index++) {
      this.delete(keys.subarray(index * keySize, (index + 1) * keySize));
    }
  }

  *chunks(): ReturnType<EntryMap["chunks"]> {
    for (const [key, value] of [...this.entries]) {
      yield { keys: viewOf(Uint8Array.fromHex(key)), values: viewOf(value), count: 1 };
    }
  }

  forEach(each: Parameters<EntryMap["forEach"]>[0]): void {
    for (const [key, value] of [...this.entries]) {
      each(viewOf(Uint8Array.fromHex(key)), 0, viewOf(value), 0);
    }
  }
}

export interface FakeKernel extends KernelMaps {
  readonly services: FakeMap;
  readonly source_ranges: FakeMap;
  readonly counters: FakeMap;
  readonly owners: FakeMap;
}

const countedMap: CountedMap = {
  shape: { keySize: 40, valueSize: SIZE.flow, maxEntries: 8 },
  estimateEntries: () => 6,
};

export function fakeKernel(slots = 500, frontends = 1000): FakeKernel {
  return {
    services: new FakeMap(SIZE.frontend, SIZE.service, frontends),
    endpoints: new DataView(new ArrayBuffer(slots * SIZE.endpoint)),
    identity: new DataView(new ArrayBuffer(SIZE.identity)),
    owners: new FakeMap(4, 8, frontends),
    node_addresses: new FakeMap(SIZE.address, 4),
    source_ranges: new FakeMap(SIZE.range, 4, frontends),
    service_cidrs: new FakeMap(SIZE.range, 4),
    counters: new FakeMap(4, SIZE.traffic),
    drops: new FakeMap(4, 8),
    flow_events: new FakeMap(4, 8),
    node_settings: new FakeMap(4, SIZE.settings),
    conntrack: countedMap,
    conntrack_udp: countedMap,
    conntrack_new: countedMap,
  };
}

/**
 * The meaning of the maps, without ids and slot numbers, which may differ between equivalent maps: for each
 * frontend its verdict, flags, sorted endpoints and source ranges.
 */
export function meaningOf(kernel: FakeKernel): ReadonlyMap<string, string> {
  const meaning = new Map<string, string>();
  for (const [key, value] of kernel.services.entries) {
    const service = readService(viewOf(value), 0);
    const { verdict, flags, affinitySeconds, cluster, local, serving } = service;
    const lists = [cluster, local, serving].map((list) => endpointsIn(kernel, list).join(" "));
    const ranges = rangesOf(kernel, service.id).join(" ");
    meaning.set(
      key,
      JSON.stringify({ verdict, flags, affinitySeconds, lists, ranges: flags & 4 ? ranges : "" }),
    );
  }
  return meaning;
}

export function endpointsIn({ endpoints }: FakeKernel, { first, count }: SlotRange): readonly string[] {
  const found: string[] = [];
  for (let slot = first; slot < first + count; slot++) {
    found.push(new Uint8Array(endpoints.buffer, slot * SIZE.endpoint, SIZE.endpoint).toHex());
  }
  return found.sort();
}

function rangesOf({ source_ranges }: FakeKernel, id: number): readonly string[] {
  const found: string[] = [];
  for (const key of source_ranges.entries.keys()) {
    const bytes = Uint8Array.fromHex(key);
    if (viewOf(bytes).getUint32(4, true) === id) found.push(bytes.subarray(8).toHex() + bytes[0]);
  }
  return found.sort();
}
