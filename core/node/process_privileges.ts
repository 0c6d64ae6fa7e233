import { effectiveCapabilities } from "../../ffi/system/capabilities.ts";

/**
 * Reports whether a process has CAP_NET_ADMIN in the user namespace of this process; undefined if /proc does not tell.
 */
export function hasNetAdmin(pid: number): boolean | undefined {
  const effective = effectiveCapabilities(() => Deno.readTextFileSync(`/proc/${pid}/status`));
  const ours = read("/proc/self/uid_map");
  const theirs = read(`/proc/${pid}/uid_map`);
  if (effective === undefined || ours === undefined || theirs === undefined) return undefined;
  // In a user namespace of its own every user has all capabilities, but there alone. Only root can make one whose map
  // equals ours.
  return ours === theirs && effective.has("CAP_NET_ADMIN");
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
