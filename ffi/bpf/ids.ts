import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";

/**
 * Lists the kernel's numbers for all objects of one kind.
 * @param next returns the number after another one: bpf_link_get_next_id() or one like it.
 * @throws KernelError
 */
export function* idsFrom(
  operation: string,
  next: (start: number, id: Uint32Array<ArrayBuffer>) => number,
): Generator<number> {
  const id = new Uint32Array(1);
  for (;;) {
    const result = next(id[0] ?? 0, id);
    if (result === -errnoOf("ENOENT")) return;
    if (result < 0) throw new KernelError(operation, -result);
    yield id[0] ?? 0;
  }
}
