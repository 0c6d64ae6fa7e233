/** The kernel's settings; those below `net` are of the network namespace of this process. */
const SYSCTLS = "/proc/sys";

/** The result of setting a sysctl. */
export type SysctlResult = "unchanged" | "changed" | SysctlFailure;

export interface SysctlFailure {
  readonly reason: string;
  /** The value that stays in force; undefined if the kernel has no such sysctl, or it cannot be read. */
  readonly current: string | undefined;
  /** True when nobody may write it in this network namespace: it belongs to the initial one. */
  readonly isReadOnlyHere: boolean;
}

/**
 * Sets a sysctl. Writes only a different value, so that a node which sets it itself needs no writable /proc/sys.
 * @param name as in sysctl(8): dots separate directories.
 * @param directory for tests.
 */
export function setSysctl(name: string, value: string, directory: string = SYSCTLS): SysctlResult {
  const path = `${directory}/${name.replaceAll(".", "/")}`;
  let current: string | undefined;
  try {
    current = Deno.readTextFileSync(path).trim();
    if (current === value) return "unchanged";
    // A sysctl that the kernel lacks must not become a file.
    Deno.writeTextFileSync(path, `${value}\n`, { create: false });
    return "changed";
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { reason, current, isReadOnlyHere: current !== undefined && hasNoWriteBit(path) };
  }
}

/** Reads a sysctl; undefined if the kernel lacks it, or it cannot be read. */
export function readSysctl(name: string, directory: string = SYSCTLS): string | undefined {
  try {
    return Deno.readTextFileSync(`${directory}/${name.replaceAll(".", "/")}`).trim();
  } catch {
    return undefined;
  }
}

function hasNoWriteBit(path: string): boolean {
  try {
    return ((Deno.statSync(path).mode ?? 0o222) & 0o222) === 0;
  } catch {
    return false;
  }
}
