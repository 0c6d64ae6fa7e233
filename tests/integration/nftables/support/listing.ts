import type { NetworkNamespace } from "../../support/network_namespace.ts";

/** Both tables as stock nft lists them, in an order of our own: what must be equal when two tables are. */
export async function tablesIn(
  namespace: NetworkNamespace,
  table = "kube-proxy",
): Promise<Record<string, readonly string[]>> {
  return {
    ...inOrder("ip", await listingOf(namespace, "ip", table)),
    ...inOrder("ip6", await listingOf(namespace, "ip6", table)),
  };
}

/** Our table as an operator sees it; "" when there is none. */
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

/** Loads a listing or commands with stock nft. */
export async function load(namespace: NetworkNamespace, text: string): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, text);
    await namespace.run("nft", "-f", file);
  } finally {
    await Deno.remove(file);
  }
}

/** Block (`ip map service-ips`) → its lines. Rules keep their order; elements have none. */
function inOrder(family: string, listing: string): Record<string, readonly string[]> {
  const blocks: [string, string[]][] = [];
  // An element list goes on over many lines.
  const lines = listing.replaceAll(/,\n\s+/g, ", ").split("\n").map((line) => line.trim());
  for (const line of lines) {
    const opened = /^((?:table|chain|set|map) .*) \{$/.exec(line)?.[1];
    const elements = /^elements = \{ (.*) \}$/.exec(line)?.[1];
    if (opened !== undefined) blocks.push([`${family} ${opened}`, []]);
    else if (elements !== undefined) blocks.at(-1)?.[1].push(...elements.split(", ").sort());
    else if (line !== "" && line !== "}") blocks.at(-1)?.[1].push(line);
  }
  return Object.fromEntries(blocks.sort(([a], [b]) => a < b ? -1 : 1));
}
