import type { TypeLayout } from "../../../ffi/bpf/btf.ts";

/** Returns the offsets of members of a struct of another version; undefined if its type is not known, or has others. */
export function memberOffsets<Name extends string>(
  type: TypeLayout | undefined,
  names: readonly Name[],
): Readonly<Record<Name, number>> | undefined {
  if (type?.kind !== "struct") return undefined;
  const offsets = names.map((name) => [name, type.members.get(name)?.offset] as const);
  if (offsets.some(([, offset]) => offset === undefined)) return undefined;
  return Object.fromEntries(offsets) as Record<Name, number>;
}
