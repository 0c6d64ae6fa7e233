import type { BpfMap, MapDefinition } from "../../../ffi/bpf/map.ts";
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
  const copyEntry = entryCopier(from.definition, to.definition);
  if (copyEntry === undefined) return;
  const { keySize } = from.map.shape;
  const [fromBytes, toBytes] = [valueBytes(from.definition), valueBytes(to.definition)];
  const present = new Uint8Array(toBytes);
  for (const { keys, values, count } of from.map.chunks(CHUNK, fromBytes)) {
    const entries = new Entries(to.map.shape.keySize, toBytes, Math.max(count, 1));
    for (let index = 0; index < count; index++) {
      const added = entries.add();
      const isWanted = copyEntry(
        { key: keys, keyOffset: index * keySize, value: values, valueOffset: index * fromBytes },
        {
          key: entries.keys,
          keyOffset: added * to.map.shape.keySize,
          value: entries.values,
          valueOffset: added * toBytes,
        },
      ) && (what === "all" || !to.map.lookup(entries.key(added), present));
      if (!isWanted) entries.drop();
    }
    to.map.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
  }
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
function entryCopier(from: MapDefinition, to: MapDefinition): TranslateEntry | undefined {
  const { key, value } = from;
  if (key === undefined || value === undefined || to.key === undefined || to.value === undefined) {
    return undefined;
  }
  if (sameLayout(key, to.key) && sameLayout(value, to.value)) return copyBytes(to.keySize, valueBytes(to));
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

function copyBytes(keyBytes: number, valueBytes: number): TranslateEntry {
  return (source, target) => {
    bytesAt(target.key, target.keyOffset, keyBytes).set(bytesAt(source.key, source.keyOffset, keyBytes));
    bytesAt(target.value, target.valueOffset, valueBytes)
      .set(bytesAt(source.value, source.valueOffset, valueBytes));
    return true;
  };
}

function bytesAt({ buffer, byteOffset }: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset + offset, length);
}
