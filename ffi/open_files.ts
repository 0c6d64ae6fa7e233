import { libc, RLIMIT_NOFILE } from "./libc.ts";

/**
 * Lets this process have as many files open as it may ask for, as Go does for its programs at their start. The limit
 * in force is mostly 1024, out of regard for programs that use select(2).
 */
export function raiseOpenFileLimit(): void {
  // struct rlimit { rlim_t rlim_cur; rlim_t rlim_max; }, each 64 bits
  const limit = new BigUint64Array(2);
  if (libc().getrlimit(RLIMIT_NOFILE, limit) !== 0) return;
  limit[0] = limit[1] ?? 0n;
  libc().setrlimit(RLIMIT_NOFILE, limit);
}
