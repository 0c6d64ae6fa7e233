/** Whether this kernel has IPVS, or a module of it. Where it has not, scripts/vm.sh runs one that does. */
export function hasIpvs(): boolean {
  return exists("/proc/net/ip_vs") || hasModule("ip_vs");
}

/** For the names of tests that need IPVS; "" where it is. */
export const missingIpvs = hasIpvs() ? "" : " (skipped: this kernel has no IPVS)";

/** Which of what tests with sets of `ipset` need is not there, for their names; "" when all is. */
export const missingIpset = !exists("/sys/module/ip_set") && !hasModule("ip_set")
  ? " (skipped: this kernel has no ip_set)"
  : exists("/usr/sbin/ipset")
  ? ""
  : " (skipped: no /usr/sbin/ipset)";

function hasModule(name: string): boolean {
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
