/**
 * How many times slower the machine is than one of its own, from PROXY_SLOWNESS: scripts/vm.sh sets it, because its
 * processor is emulated. Time limits are longer by it.
 */
export const slowness = Number(Deno.env.get("PROXY_SLOWNESS") ?? 1);
if (!(slowness >= 1)) throw new Error(`PROXY_SLOWNESS must be a number from 1: ${slowness}`);

/**
 * The pause between looking and looking again whether something has happened. It grows faster than the time limits:
 * looking costs the only processor, which what is waited for needs.
 */
export function beforeNextLook(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds * slowness ** 2));
}

/** How often to repeat what is repeated only because chance may hide what is wrong. */
export function repetitions(onItsOwnMachine: number): number {
  return Math.ceil(onItsOwnMachine / slowness);
}
