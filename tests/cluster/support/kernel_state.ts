import type { Cluster } from "./cluster.ts";
import { onNode } from "./places.ts";

/** Commands that list what a mode has in the kernel. */
const lists: Readonly<Record<"nftables" | "iptables", string>> = {
  nftables: "nft list ruleset",
  iptables: "iptables-save; ip6tables-save",
};

/**
 * Lines of the kernel's tables on a node with an address that begins with one of these texts: rules, and UDP flows that
 * are translated. Mode ebpf has no rules to list: its maps keep the bytes of slots that are free.
 */
export async function linesInKernel(
  cluster: Cluster,
  mode: "nftables" | "iptables" | "ebpf",
  node: string,
  addresses: readonly string[],
): Promise<readonly string[]> {
  const list = async (command: string) =>
    (await cluster.run(onNode(node), "bash", "-c", `{ ${command}; } 2>/dev/null`)).split("\n");
  const rules = mode === "ebpf" ? [] : await list(lists[mode]);
  const flows = await list("conntrack -L -p udp; conntrack -L -f ipv6 -p udp");
  return [...rules, ...flows.filter(isTranslated)].filter((line) =>
    addresses.some((address) => line.includes(address))
  );
}

/** Reports whether replies of a flow come from another address than the one that the client sent to. */
function isTranslated(flow: string): boolean {
  const [, destination, source] = / dst=(\S+) .* src=(\S+) dst=/.exec(flow) ?? [];
  return destination !== source;
}
