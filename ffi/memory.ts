/** What crosses between JavaScript values and C memory. Pointers stay in `ffi/`. */
import { libc, M_MMAP_THRESHOLD } from "./libc.ts";

const encoder = new TextEncoder();

/** A `const char *` argument. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/** The text behind a `const char *` result. "" for NULL. */
export function textAt(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** A copy of `length` bytes of C memory, so that their owner may free them. */
export function copyOf(pointer: Deno.PointerObject, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  Deno.UnsafePointerView.copyInto(pointer, copy);
  return copy;
}

/** Room for a pointer that a C function stores for us (`unsigned char **`). */
export class PointerSlot {
  readonly argument = new BigUint64Array(1);

  get pointer(): Deno.PointerValue {
    return Deno.UnsafePointer.create(this.argument[0] ?? 0n);
  }
}

/**
 * Makes glibc give large buffers back to the kernel as soon as they are freed. By default it raises the size from
 * which it does so to that of the largest buffer freed so far, and keeps the rest: 10-18 MB after a bulk load.
 * To be called once at the start.
 */
export function returnLargeBuffers(): void {
  libc().mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

/** Gives what C code has freed back to the kernel. Takes some milliseconds: to be called after a bulk load. */
export function trimHeap(): void {
  libc().malloc_trim(0n);
}
