import { BpfMap } from "../../../../../ffi/bpf/map.ts";

/** Entries and memory of one pinned map. */
export interface MapUsage {
  /** Undefined for maps that cannot be iterated, or that always have all entries. */
  readonly entries: number | undefined;
  readonly capacity: number;
  /** Kernel memory. */
  readonly bytes: number;
  /** In hexadecimal digits; empty for LRU maps, because they have many. */
  readonly keys: readonly string[];
}

/** enum bpf_map_type, linux/bpf.h */
const HASH = 1, PERCPU_HASH = 5, LRU_HASH = 9, LPM_TRIE = 11;
const COUNTABLE: readonly number[] = [HASH, PERCPU_HASH, LRU_HASH, LPM_TRIE];

/**
 * Counts the entries of all maps pinned in a directory. Counts of maps that change meanwhile are approximate.
 */
export function census(directory: string): ReadonlyMap<string, MapUsage> {
  const usages = new Map<string, MapUsage>();
  for (const { name } of Deno.readDirSync(directory)) {
    using map = BpfMap.pinned(name, `${directory}/${name}`);
    if (map !== undefined) usages.set(name, usageOf(map));
  }
  return usages;
}

function usageOf(map: BpfMap): MapUsage {
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${map.fd}`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(info)?.[1]);
  const [type, capacity, bytes] = [field("map_type"), map.shape.maxEntries, field("memlock")];
  if (!COUNTABLE.includes(type)) return { entries: undefined, capacity, bytes, keys: [] };
  let entries = 0;
  const keys: string[] = [];
  const each = (view: DataView<ArrayBuffer>, offset: number) => {
    entries++;
    if (type !== LRU_HASH) keys.push(hexOf(new Uint8Array(view.buffer, offset, map.shape.keySize)));
  };
  const { valueSize } = map.shape;
  map.forEach(each, type === PERCPU_HASH ? valueSize * possibleCpus() : valueSize);
  return { entries, capacity, bytes, keys: keys.sort() };
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function possibleCpus(): number {
  return Number(Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim().split(/[-,]/).at(-1)) + 1;
}
