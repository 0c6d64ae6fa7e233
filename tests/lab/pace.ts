/**
 * Factor by which this machine is slower than a dedicated one, from PROXY_SLOWNESS. scripts/vm.sh sets it because the
 * processor of its machine is emulated. Time limits are multiplied by it.
 */
export const slowness = Number(Deno.env.get("PROXY_SLOWNESS") ?? 1);
if (!(slowness >= 1)) throw new Error(`PROXY_SLOWNESS must be a number >= 1; it is ${slowness}`);

/**
 * Pauses between two polls. The pause grows with the square of the slowness, because polling takes time from the only
 * processor, which the process under test needs.
 */
export function pollPause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds * slowness ** 2));
}

/** Number of repetitions of a probe that could succeed by chance; lower on a slow machine. */
export function repetitions(onDedicatedMachine: number): number {
  return Math.ceil(onDedicatedMachine / slowness);
}
