import type { TypeLayout } from "../../../ffi/bpf/btf.ts";
import { checksum } from "./checksum.ts";

/** The types of the entries of a map. */
export interface EntryLayout {
  readonly key: TypeLayout;
  readonly value: TypeLayout;
}

/**
 * Copies an entry into another layout. The target is zero before.
 * @returns false if it has an enumerator that the other layout lacks. The target is to be ignored then.
 */
export type TranslateEntry = (
  from: {
    readonly key: DataView;
    readonly keyOffset: number;
    readonly value: DataView;
    readonly valueOffset: number;
  },
  to: {
    readonly key: DataView;
    readonly keyOffset: number;
    readonly value: DataView;
    readonly valueOffset: number;
  },
) => boolean;

/**
 * Makes the translation of entries between two layouts, by the names of members and of enumerators. Members that `from`
 * lacks are zero, except for a checksum over the key and the members before it, which is called `check`.
 * @returns undefined if the types have nothing in common.
 */
export function entryTranslation(from: EntryLayout, to: EntryLayout): TranslateEntry | undefined {
  const [key, value] = [merged(steps(from.key, to.key)), merged(steps(from.value, to.value))];
  if (key === undefined || value === undefined) return undefined;
  const check = to.value.kind === "struct" ? to.value.members.get("check")?.offset : undefined;
  return (source, target) => {
    if (!run(key, source.key, source.keyOffset, target.key, target.keyOffset)) return false;
    if (!run(value, source.value, source.valueOffset, target.value, target.valueOffset)) return false;
    if (check !== undefined) {
      const { key, keyOffset, value, valueOffset } = target;
      value.setInt32(
        valueOffset + check,
        checksum([[key, keyOffset, to.key.size], [value, valueOffset, check]]),
        true,
      );
    }
    return true;
  };
}

/** Copies bytes, or translates an enumerator. */
type Step =
  | { readonly from: number; readonly to: number; readonly length: number }
  | { readonly from: number; readonly to: number; readonly numbers: ReadonlyMap<number, number> };

function steps(from: TypeLayout, to: TypeLayout, fromOffset = 0, toOffset = 0): readonly Step[] | undefined {
  const at = { from: fromOffset, to: toOffset };
  if (from.kind === "struct" && to.kind === "struct") {
    const common = [...to.members].flatMap(([name, member]) => {
      const old = from.members.get(name);
      return old === undefined ? [] : [
        steps(old.type, member.type, fromOffset + old.offset, toOffset + member.offset) ?? [],
      ];
    });
    return common.length === 0 ? undefined : common.flat();
  }
  if (from.kind === "array" && to.kind === "array") {
    return Array.from({ length: Math.min(from.count, to.count) }, (_, index) =>
      steps(
        from.element,
        to.element,
        fromOffset + index * from.element.size,
        toOffset + index * to.element.size,
      ) ?? []).flat();
  }
  if (from.kind === "enum" && to.kind === "enum") {
    const byName = new Map([...to.names].map(([number, name]) => [name, number]));
    const numbers = new Map<number, number>();
    for (const [number, name] of from.names) {
      const translated = byName.get(name);
      if (translated !== undefined) numbers.set(number, translated);
    }
    return [{ ...at, numbers }];
  }
  const isNumber = (type: TypeLayout) => type.kind === "integer" || type.kind === "enum";
  // Little-endian: the first bytes are the low ones.
  return isNumber(from) && isNumber(to) ? [{ ...at, length: Math.min(from.size, to.size) }] : undefined;
}

/** Joins copies of bytes that follow each other on both sides. */
function merged(steps: readonly Step[] | undefined): readonly Step[] | undefined {
  const merged: Step[] = [];
  for (const step of steps ?? []) {
    const last = merged.at(-1);
    const follows = last !== undefined && "length" in last && "length" in step &&
      last.from + last.length === step.from && last.to + last.length === step.to;
    if (follows) merged[merged.length - 1] = { ...last, length: last.length + step.length };
    else merged.push(step);
  }
  return steps && merged;
}

function run(
  steps: readonly Step[],
  from: DataView,
  fromOffset: number,
  to: DataView,
  toOffset: number,
): boolean {
  for (const step of steps) {
    if ("numbers" in step) {
      const number = step.numbers.get(from.getUint32(fromOffset + step.from, true));
      if (number === undefined) return false;
      to.setUint32(toOffset + step.to, number, true);
    } else {
      for (let byte = 0; byte < step.length; byte++) {
        to.setUint8(toOffset + step.to + byte, from.getUint8(fromOffset + step.from + byte));
      }
    }
  }
  return true;
}
