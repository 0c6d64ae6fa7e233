import { collectGarbage, trimHeap } from "../../ffi/system/process.ts";

/**
 * Returns memory to the kernel after a bulk load. V8 keeps garbage until it needs the space (20-35 MB after
 * 10,000 services), and glibc keeps freed memory. Takes about 100 ms at that size. Without V8's --expose-gc,
 * which build.sh sets, only the memory of glibc is returned.
 */
export function returnMemory(): void {
  collectGarbage();
  trimHeap();
}
