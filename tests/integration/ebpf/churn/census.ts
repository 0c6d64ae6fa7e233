import { BpfMap } from "../../../../ffi/bpf/map.ts";

/** What there is of one pinned map. */
export interface Counted {
  /** Undefined of maps that cannot be counted, or that always have all their entries. */
  readonly entries: number | undefined;
  readonly room: number;
  /** Bytes of the kernel's memory. */
  readonly bytes: number;
  /** Each in hexadecimal digits; of LRU maps none, they are many. */
  readonly keys: readonly string[];
}

/** enum bpf_map_type, linux/bpf.h */
const HASH = 1, PERCPU_HASH = 5, LRU_HASH = 9, LPM_TRIE = 11;
const countable: readonly number[] = [HASH, PERCPU_HASH, LRU_HASH, LPM_TRIE];

/** Counts the maps that are pinned in a directory. Those that change meanwhile are counted about right. */
export function census(directory: string): ReadonlyMap<string, Counted> {
  const counted = new Map<string, Counted>();
  for (const { name } of Deno.readDirSync(directory)) {
    using map = BpfMap.pinned(name, `${directory}/${name}`);
    if (map !== undefined) counted.set(name, countOf(map));
  }
  return counted;
}

function countOf(map: BpfMap): Counted {
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${map.fd}`);
  const said = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(info)?.[1]);
  const [type, room, bytes] = [said("map_type"), map.shape.maxEntries, said("memlock")];
  if (!countable.includes(type)) return { entries: undefined, room, bytes, keys: [] };
  let entries = 0;
  const keys: string[] = [];
  const each = (view: DataView<ArrayBuffer>, offset: number) => {
    entries++;
    if (type !== LRU_HASH) keys.push(hexOf(new Uint8Array(view.buffer, offset, map.shape.keySize)));
  };
  const { valueSize } = map.shape;
  map.forEach(each, type === PERCPU_HASH ? valueSize * possibleCpus() : valueSize);
  return { entries, room, bytes, keys: keys.sort() };
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function possibleCpus(): number {
  return Number(Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim().split(/[-,]/).at(-1)) + 1;
}
