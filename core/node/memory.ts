import { trimHeap } from "../../ffi/process.ts";

/**
 * Gives back what a bulk load has left behind: V8 lets garbage lie until it needs the room (10-25 MB after 10,000
 * services), and glibc keeps what was freed. Takes about 60 ms at that size. Without V8's --expose-gc (build.sh gives
 * it) only the second half is done.
 */
export function returnMemory(): void {
  const collectGarbage: unknown = Reflect.get(globalThis, "gc");
  if (typeof collectGarbage === "function") collectGarbage();
  trimHeap();
}
