import type { BpfMap } from "../../../ffi/bpf/map.ts";

/** A map by its entries: the seam between services and the kernel, where tests put a fake. */
export type EntryMap = Pick<
  BpfMap,
  "shape" | "lookup" | "update" | "updateAll" | "delete" | "deleteAll" | "forEach"
>;

/** The maps of bpf/maps.h that the proxy fills or reads, by their names there. */
export interface KernelMaps {
  readonly services: EntryMap;
  /** The memory of map endpoints. */
  readonly endpoints: DataView<ArrayBuffer>;
  readonly node_addresses: EntryMap;
  readonly source_ranges: EntryMap;
  readonly service_cidrs: EntryMap;
  readonly counters: EntryMap;
  readonly drops: EntryMap;
  readonly node_settings: EntryMap;
}
