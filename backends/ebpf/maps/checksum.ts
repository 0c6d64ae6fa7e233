const FNV_PRIME = 0x01000193;

/**
 * `sum_of` in bpf/choice.h: a checksum by which programs detect an entry that changed while they read it. It is over a
 * key and the members of a value that are before the checksum.
 * @param parts views, offsets and lengths in bytes.
 */
export function checksum(
  parts: readonly (readonly [view: DataView, offset: number, length: number])[],
): number {
  let sum = 0;
  let power = FNV_PRIME;
  for (const [view, offset, length] of parts) {
    for (let index = 0; index < length; index += 4) {
      sum = sum + Math.imul(view.getInt32(offset + index, true), power) | 0;
      power = Math.imul(power, FNV_PRIME);
    }
  }
  return sum;
}
