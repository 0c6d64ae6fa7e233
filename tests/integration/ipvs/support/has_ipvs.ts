/** True when this kernel has IPVS, built in or as a module. scripts/vm.sh runs one that does. */
export function hasIpvs(): boolean {
  return exists("/proc/net/ip_vs") || hasModule("ip_vs");
}

/** Suffix for the names of tests that need IPVS; "" when it is present. */
export const missingIpvs = hasIpvs() ? "" : " (skipped: this kernel has no IPVS)";

/** Suffix for test names with the missing requirements of `ipset`; "" when all are present. */
export const missingIpset = !exists("/sys/module/ip_set") && !hasModule("ip_set")
  ? " (skipped: this kernel has no ip_set)"
  : exists("/usr/sbin/ipset")
  ? ""
  : " (skipped: no /usr/sbin/ipset)";

/** Reports whether /lib/modules has a module for the running kernel. */
export function hasModule(name: string): boolean {
  try {
    return Deno.readTextFileSync(`/lib/modules/${Deno.osRelease()}/modules.dep`).includes(`/${name}.ko`);
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
