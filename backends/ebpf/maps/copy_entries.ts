import type { BpfMap, EntryChunk, MapDefinition } from "../../../ffi/bpf/map.ts";
import { sameLayout } from "../../../ffi/bpf/btf.ts";
import { possibleCpus } from "./counters.ts";
import { Entries } from "./entries.ts";
import { entryTranslation, type TranslateEntry } from "./translate.ts";

/** enum bpf_map_type, linux/bpf.h */
export const MAP_TYPE = {
  ARRAY: 2,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  QUEUE: 22,
  SK_STORAGE: 24,
} as const;

const PER_CPU: ReadonlySet<number> = new Set([MAP_TYPE.PERCPU_HASH, MAP_TYPE.PERCPU_ARRAY]);
/** An array always has all of its keys. */
const ARRAYS: ReadonlySet<number> = new Set([MAP_TYPE.ARRAY, MAP_TYPE.PERCPU_ARRAY]);

export interface DefinedMap {
  readonly map: BpfMap;
  readonly definition: MapDefinition;
}

/** Entries that are read at once. */
const CHUNK = 4096;

/**
 * Copies entries between two maps of the same type, translated by name (`entryTranslation`).
 * @param what "missing" leaves the entries alone that the target has.
 * @throws KernelError for example because the target is full.
 */
export function copyEntries(from: DefinedMap, to: DefinedMap, what: "all" | "missing"): void {
  if (what === "missing" && ARRAYS.has(to.definition.type)) return;
  const translate = translation(from.definition, to.definition);
  if (translate === undefined) return;
  const fromBytes = valueBytes(from.definition);
  for (const chunk of from.map.chunks(CHUNK, fromBytes)) {
    if (translate === "same" && what === "all") {
      to.map.updateAll(new Uint8Array(chunk.keys.buffer), new Uint8Array(chunk.values.buffer), chunk.count);
    } else {
      const entries = translated(chunk, [from.definition.keySize, fromBytes], to, translate, what);
      to.map.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
    }
  }
}

/** Translates the wanted entries of a chunk. */
function translated(
  { keys, values, count }: EntryChunk,
  [fromKeyBytes, fromBytes]: readonly [keyBytes: number, valueBytes: number],
  { map, definition }: DefinedMap,
  translate: TranslateEntry | "same",
  what: "all" | "missing",
): Entries {
  const bytes = valueBytes(definition);
  const present = new Uint8Array(bytes);
  const entries = new Entries(definition.keySize, bytes, Math.max(count, 1));
  for (let index = 0; index < count; index++) {
    const source = {
      key: keys,
      keyOffset: index * fromKeyBytes,
      value: values,
      valueOffset: index * fromBytes,
    };
    if (translate === "same") {
      const key = new Uint8Array(keys.buffer, source.keyOffset, fromKeyBytes);
      if (!map.lookup(key, present)) entries.addEntry(keys, source.keyOffset, values, source.valueOffset);
      continue;
    }
    const added = entries.add();
    const target = {
      key: entries.keys,
      keyOffset: added * definition.keySize,
      value: entries.values,
      valueOffset: added * bytes,
    };
    const isWanted = translate(source, target) &&
      (what === "all" || !map.lookup(entries.key(added), present));
    if (!isWanted) entries.drop();
  }
  return entries;
}

/** Moves all values of a queue to the end of another one, as far as there is room. */
export function drainQueue(from: BpfMap, to: BpfMap): void {
  for (let value = from.pop(); value !== undefined && to.push(value); value = from.pop());
}

/** Bytes of a value as the kernel returns it: in a per-CPU map, the values of all CPUs, each in units of 8 bytes. */
function valueBytes({ type, valueSize }: MapDefinition): number {
  return PER_CPU.has(type) ? possibleCpus() * inUnits(valueSize) : valueSize;
}

function inUnits(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** @returns undefined if the entries have nothing in common. */
function translation(from: MapDefinition, to: MapDefinition): TranslateEntry | "same" | undefined {
  const { key, value } = from;
  if (key === undefined || value === undefined || to.key === undefined || to.value === undefined) {
    return undefined;
  }
  if (sameLayout(key, to.key) && sameLayout(value, to.value)) return "same";
  const translate = entryTranslation({ key, value }, { key: to.key, value: to.value });
  if (translate === undefined || !PER_CPU.has(to.type)) return translate;
  return (source, target) => {
    for (let cpu = possibleCpus() - 1; cpu >= 0; cpu--) {
      const at = { ...source, valueOffset: source.valueOffset + cpu * inUnits(from.valueSize) };
      if (!translate(at, { ...target, valueOffset: target.valueOffset + cpu * inUnits(to.valueSize) })) {
        return false;
      }
    }
    return true;
  };
}
