/**
 * Factor by which this machine is slower than a dedicated one, from PROXY_SLOWNESS. Time limits are multiplied by it.
 * tests/vm/guest.sh measures it, because the processor of its machine is emulated, and shared with other work.
 */
export const slowness = Number(Deno.env.get("PROXY_SLOWNESS") ?? 1);
if (!(slowness >= 1)) throw new Error(`PROXY_SLOWNESS must be a number >= 1; it is ${slowness}`);

/**
 * Pauses between two polls. The pause grows with the square of the slowness, because polling takes time from the only
 * processor, which the process under test needs. It stops growing at the slowness of an emulated machine on an idle
 * host, because longer pauses would only delay the result.
 */
export function pollPause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds * Math.min(slowness, 4) ** 2));
}

/** Number of repetitions of a probe that could succeed by chance; lower on a slow machine. */
export function repetitions(onDedicatedMachine: number): number {
  return Math.ceil(onDedicatedMachine / slowness);
}
