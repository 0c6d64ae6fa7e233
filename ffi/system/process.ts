import {
  CLOCK_MONOTONIC,
  F_DUPFD_CLOEXEC,
  F_SETFD,
  FD_CLOEXEC,
  libc,
  M_MMAP_THRESHOLD,
  RLIMIT_NOFILE,
} from "../libraries/libc.ts";

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

/** Closes a descriptor in programs that this process starts. */
export function closeOnExec(fd: number): void {
  libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/** Closes a descriptor that this process has inherited. */
export function closeDescriptor(fd: number): void {
  libc().close(fd);
}

/**
 * Returns another descriptor of the same file, which programs that this process starts do not get. Undefined if there are
 * none left.
 */
export function duplicateDescriptor(fd: number): number | undefined {
  const duplicate = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return duplicate < 0 ? undefined : duplicate;
}

/** Returns the number of files that this process may have open. */
export function openFileLimit(): number {
  const limit = new BigUint64Array(2);
  libc().getrlimit(RLIMIT_NOFILE, limit);
  return Number(limit[0]);
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

/**
 * Has V8 free the garbage of this thread and compact its heap, which it otherwise does when it needs the space: call it
 * after a bulk load. Does nothing without V8's --expose-gc, which scripts/build.sh sets.
 */
export function collectGarbage(): void {
  const collect: unknown = Reflect.get(globalThis, "gc");
  // Without "last-resort", V8 does not compact: 158 MB instead of 144 MB are resident in mode userspace, with 10,000
  // services of 10 endpoints.
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

/** Reads the clock that all processes of the node share, in microseconds. performance.now() begins with the process. */
export function monotonicMicroseconds(): bigint {
  // struct timespec { time_t tv_sec; long tv_nsec; }, each 64 bits
  const time = new BigInt64Array(2);
  libc().clock_gettime(CLOCK_MONOTONIC, time);
  const [seconds = 0n, nanoseconds = 0n] = time;
  return seconds * 1_000_000n + nanoseconds / 1000n;
}

/**
 * Finds the process of a thread. The kernel names the thread that made a change, and a program may make its changes on
 * threads with other names than its own, as this one does.
 * @param name comm of the thread.
 * @param id of the thread.
 * @returns the thread's own name and id if it has ended, or is in another PID namespace.
 */
export function processOfThread(name: string, id: number): { readonly name: string; readonly pid: number } {
  try {
    // In another PID namespace the number denotes another thread.
    if (Deno.readTextFileSync(`/proc/${id}/comm`) !== `${name}\n`) return { name, pid: id };
    const pid = Number(/^Tgid:\s+(\d+)$/m.exec(Deno.readTextFileSync(`/proc/${id}/status`))?.[1] ?? id);
    return { name: Deno.readTextFileSync(`/proc/${pid}/comm`).trimEnd(), pid };
  } catch {
    return { name, pid: id };
  }
}
