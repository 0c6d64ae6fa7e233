/** Whether this kernel is so new. Tests may know what a version has, so that they see what the proxy finds by trying. */
export function isLinux(major: number, minor: number): boolean {
  const [ours = 0, minorOfOurs = 0] = Deno.osRelease().split(".").map(Number);
  return ours > major || (ours === major && minorOfOurs >= minor);
}
