/**
 * Reports whether the kernel is at least this version. Only tests look at the version, to check what the
 * proxy finds by probing.
 */
export function isLinux(major: number, minor: number): boolean {
  const [runningMajor = 0, runningMinor = 0] = Deno.osRelease().split(".").map(Number);
  return runningMajor > major || (runningMajor === major && runningMinor >= minor);
}
