/** Conversions between JavaScript values and C memory. Pointers stay in `ffi/`. */

import { libc } from "./libraries/libc.ts";

const ENCODER = new TextEncoder();

/** Makes a `const char *` argument. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(text + "\0");
}

/** Reads the text in a `char[]` member. */
export function stringIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Reads the text behind a `const char *` result; "" for NULL. */
export function textAt(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** Copies `length` bytes of C memory, so that their owner may free them. */
export function copyOf(pointer: Deno.PointerObject, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  Deno.UnsafePointerView.copyInto(pointer, copy);
  return copy;
}

/** Buffers of calls that other threads have not finished. */
const inUse = new Set<readonly BufferSource[]>();

/**
 * Waits for a `nonblocking` call. Its buffers must be passed here, because Deno before 2.7.6 hands the other thread only
 * their addresses (denoland/deno#32775): the garbage collector would free them before the call has returned, or begun.
 * They do not outlive the worker or the module of a test that made the call, so a call that writes uses CallMemory.
 */
export async function returned<Result>(
  call: Promise<Result>,
  ...buffers: readonly BufferSource[]
): Promise<Result> {
  inUse.add(buffers);
  try {
    return await call;
  } finally {
    inUse.delete(buffers);
  }
}

/** Address of memory, for a C structure that points to it. The caller keeps the memory alive. */
export function addressOf(memory: ArrayBufferView<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
}

/**
 * Memory that `nonblocking` calls may write to. It is allocated by C, because that of JavaScript is freed when the worker,
 * or the module of a test, ends: the call would then write into the memory of others. It is zero at first.
 */
export class CallMemory implements Disposable {
  readonly buffer: ArrayBuffer;
  readonly #pointer: Deno.PointerObject;

  constructor(bytes: number) {
    const pointer = libc().calloc(1n, BigInt(bytes));
    if (pointer === null) throw new RangeError(`no memory for ${bytes} bytes`);
    this.#pointer = pointer;
    this.buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, bytes);
  }

  /** Frees the memory. Neither a call nor a view may use it afterwards. */
  [Symbol.dispose](): void {
    libc().free(this.#pointer);
  }
}

/** Memory for a pointer that a C function returns through an argument (`unsigned char **`). */
export class PointerSlot {
  constructor(readonly argument: BigUint64Array<ArrayBuffer> = new BigUint64Array(1)) {}

  get pointer(): Deno.PointerValue {
    return Deno.UnsafePointer.create(this.argument[0] ?? 0n);
  }
}
