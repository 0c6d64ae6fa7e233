import type { BpfMap } from "../../../ffi/bpf/map.ts";

/** The operations on a map that the backend uses, so that tests can use a fake map. */
export type EntryMap = Pick<
  BpfMap,
  "shape" | "lookup" | "update" | "updateAll" | "delete" | "deleteAll" | "forEach" | "chunks"
>;

/** A map of which only the number of entries is read. */
export type CountedMap = Pick<BpfMap, "shape" | "estimateEntries">;

/** The maps that the proxy writes or reads, by their names in bpf/maps/. */
export interface KernelMaps {
  readonly services: EntryMap;
  /** The values of map `endpoints`, as shared memory. */
  readonly endpoints: DataView<ArrayBuffer>;
  /** `struct identity`, as shared memory. */
  readonly identity: DataView<ArrayBuffer>;
  readonly owners: EntryMap;
  readonly node_addresses: EntryMap;
  readonly source_ranges: EntryMap;
  readonly service_cidrs: EntryMap;
  readonly counters: EntryMap;
  readonly drops: EntryMap;
  readonly flow_events: EntryMap;
  readonly node_settings: EntryMap;
  readonly conntrack: CountedMap;
  readonly conntrack_udp: CountedMap;
  readonly conntrack_new: CountedMap;
}

export const MAP_NAMES = [
  "services",
  "endpoints",
  "identity",
  "owners",
  "node_addresses",
  "source_ranges",
  "service_cidrs",
  "counters",
  "drops",
  "flow_events",
  "node_settings",
  "conntrack",
  "conntrack_udp",
  "conntrack_new",
] as const satisfies readonly (keyof KernelMaps)[];

/**
 * @param open opens a map by its name.
 * @param stack releases the shared memory.
 */
export function openKernelMaps(
  open: (name: typeof MAP_NAMES[number]) => BpfMap,
  stack: DisposableStack,
): KernelMaps {
  return {
    services: open("services"),
    endpoints: stack.use(open("endpoints").mapped()).view,
    identity: stack.use(open("identity").mapped()).view,
    owners: open("owners"),
    node_addresses: open("node_addresses"),
    source_ranges: open("source_ranges"),
    service_cidrs: open("service_cidrs"),
    counters: open("counters"),
    drops: open("drops"),
    flow_events: open("flow_events"),
    node_settings: open("node_settings"),
    conntrack: open("conntrack"),
    conntrack_udp: open("conntrack_udp"),
    conntrack_new: open("conntrack_new"),
  };
}
