import { libc, M_MMAP_THRESHOLD, RLIMIT_NOFILE } from "./libc.ts";

/**
 * Raises the limit of open files of this process to its maximum, as the Go runtime does at startup. The default is
 * usually 1024, for the sake of programs that use select(2).
 */
export function raiseOpenFileLimit(): void {
  // struct rlimit { rlim_t rlim_cur; rlim_t rlim_max; }, each 64 bits
  const limit = new BigUint64Array(2);
  if (libc().getrlimit(RLIMIT_NOFILE, limit) !== 0) return;
  limit[0] = limit[1] ?? 0n;
  libc().setrlimit(RLIMIT_NOFILE, limit);
}

/**
 * Makes glibc return large buffers to the kernel as soon as they are freed. By default, glibc raises the size from
 * which it does so to the size of the largest buffer freed so far, and keeps the rest: 10-18 MB after a bulk load.
 * Call it once at startup.
 */
export function returnLargeBuffers(): void {
  libc().mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

/** Returns the heap memory that C code has freed to the kernel. Takes some milliseconds: call it after a bulk load. */
export function trimHeap(): void {
  libc().malloc_trim(0n);
}
