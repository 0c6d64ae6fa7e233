/** Directory of what the scripts have built and fetched (scripts/env.sh). */
export const cache = Deno.env.get("PROXY_CACHE") ?? `${Deno.env.get("HOME")}/.cache/proxy`;

/** Directory of the programs that scripts/peers.sh builds. */
export const peers = `${cache}/peers`;
