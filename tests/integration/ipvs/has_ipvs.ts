/** Whether this kernel has IPVS, or a module of it. Where it has not, scripts/vm.sh runs one that does. */
export function hasIpvs(): boolean {
  try {
    Deno.statSync("/proc/net/ip_vs");
    return true;
  } catch {
    return hasModule();
  }
}

function hasModule(): boolean {
  try {
    return /\/ip_vs\.ko/.test(Deno.readTextFileSync(`/lib/modules/${Deno.osRelease()}/modules.dep`));
  } catch {
    return false;
  }
}
