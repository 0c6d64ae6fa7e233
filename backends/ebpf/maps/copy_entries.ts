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
  for (const entries of translatedChunks(from, to.definition)) {
    const wanted = what === "all" ? entries : missing(entries, to);
    to.map.updateAll(wanted.keyBytes, wanted.valueBytes, wanted.count);
  }
}

function missing(entries: Entries, { map, definition }: DefinedMap): Entries {
  const bytes = valueBytes(definition);
  const present = new Uint8Array(bytes);
  const wanted = new Entries(definition.keySize, bytes);
  for (let index = 0; index < entries.count; index++) {
    if (!map.lookup(entries.key(index), present)) wanted.addFrom(entries, index);
  }
  return wanted;
}

/**
 * Reads the entries of a map, in the layout of another definition. Those that this layout cannot represent are left out;
 * there are none if the layouts have nothing in common.
 */
export function* translatedChunks(from: DefinedMap, to: MapDefinition): Generator<Entries> {
  const translate = translation(from.definition, to);
  if (translate === undefined) return;
  const fromKeyBytes = from.definition.keySize;
  const [fromBytes, bytes] = [valueBytes(from.definition), valueBytes(to)];
  for (const chunk of from.map.chunks(CHUNK, fromBytes)) {
    if (translate === "same") {
      yield Entries.of(to.keySize, bytes, chunk);
      continue;
    }
    const entries = new Entries(to.keySize, bytes, Math.max(chunk.count, 1));
    for (let index = 0; index < chunk.count; index++) {
      const source = {
        key: chunk.keys,
        keyOffset: index * fromKeyBytes,
        value: chunk.values,
        valueOffset: index * fromBytes,
      };
      const added = entries.add();
      const target = {
        key: entries.keys,
        keyOffset: added * to.keySize,
        value: entries.values,
        valueOffset: added * bytes,
      };
      if (!translate(source, target)) entries.drop();
    }
    yield entries;
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
export function translation(from: MapDefinition, to: MapDefinition): TranslateEntry | "same" | undefined {
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
