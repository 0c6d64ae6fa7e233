/** Bits of capabilities: linux/capability.h */
const CAPABILITY_BITS = [
  ["CAP_NET_ADMIN", 12n],
  ["CAP_SYS_MODULE", 16n],
  ["CAP_SYS_ADMIN", 21n],
  ["CAP_PERFMON", 38n],
  ["CAP_BPF", 39n],
] as const;

export type Capability = typeof CAPABILITY_BITS[number][0];

/**
 * Reports which of these capabilities a process has in effect; undefined if /proc does not tell.
 * @param status reads the text of /proc/PID/status; by default that of this process.
 */
export function effectiveCapabilities(status: () => string = ownStatus): ReadonlySet<Capability> | undefined {
  let text: string;
  try {
    text = status();
  } catch {
    return undefined;
  }
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(text)?.[1];
  if (hex === undefined) return undefined;
  const mask = BigInt(`0x${hex}`);
  return new Set(CAPABILITY_BITS.filter(([, bit]) => (mask >> bit & 1n) === 1n).map(([name]) => name));
}

/** Explains why the kernel answered EPERM to a request that needs CAP_NET_ADMIN. A full sentence. */
export function explainNetAdminDenial(held = effectiveCapabilities()): string {
  const where = "(see docs/operations.md#privileges)";
  if (held?.has("CAP_NET_ADMIN")) {
    return "The process has CAP_NET_ADMIN, so this network namespace belongs to another user namespace, or a " +
      `security module or a seccomp filter forbids the request ${where}`;
  }
  return `The process lacks CAP_NET_ADMIN in this network namespace. Give it to the unit or the container ${where}`;
}

function ownStatus(): string {
  return Deno.readTextFileSync("/proc/self/status");
}
