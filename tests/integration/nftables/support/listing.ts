import type { NetworkNamespace } from "../../support/network_namespace.ts";

/**
 * Listings of the tables of both families by stock nft, in an order that makes equal tables compare equal.
 */
export async function tablesIn(
  namespace: NetworkNamespace,
  table = "kube-proxy",
): Promise<Record<string, readonly string[]>> {
  return {
    ...sortedBlocks("ip", await listingOf(namespace, "ip", table)),
    ...sortedBlocks("ip6", await listingOf(namespace, "ip6", table)),
  };
}

/** The listing of one table by stock nft; "" if it does not exist. */
export async function listingOf(
  namespace: NetworkNamespace,
  family: "ip" | "ip6",
  table = "kube-proxy",
): Promise<string> {
  const tables = await namespace.run("nft", "list", "tables", family);
  return tables.split("\n").includes(`table ${family} ${table}`)
    ? await namespace.run("nft", "list", "table", family, table)
    : "";
}

/** Loads a listing, or commands, with stock nft. */
export async function load(namespace: NetworkNamespace, text: string): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, text);
    await namespace.run("nft", "-f", file);
  } finally {
    await Deno.remove(file);
  }
}

/**
 * The lines of each block, such as `ip map service-ips`. Sorts blocks and elements, and keeps the order of
 * rules.
 */
function sortedBlocks(family: string, listing: string): Record<string, readonly string[]> {
  const blocks: [string, string[]][] = [];
  // A list of elements spans several lines.
  const lines = listing.replaceAll(/,\n\s+/g, ", ").split("\n").map((line) => line.trim());
  for (const line of lines) {
    const opened = /^((?:table|chain|set|map) .*) \{$/.exec(line)?.[1];
    const elements = /^elements = \{ (.*) \}$/.exec(line)?.[1];
    if (opened !== undefined) blocks.push([`${family} ${opened}`, []]);
    else if (elements !== undefined) blocks.at(-1)?.[1].push(...elements.split(", ").sort());
    // The kernel sets this size when a rule first uses the set.
    else if (line !== "" && line !== "}" && line !== "size 65535") blocks.at(-1)?.[1].push(line);
  }
  return Object.fromEntries(blocks.sort(([a], [b]) => a < b ? -1 : 1));
}
