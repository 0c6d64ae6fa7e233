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

/**
 * Lists everything that a mode programs on a node: rules, chains, sets, maps and pinned BPF objects. Leaves out the
 * chains of iptables and of kubelet, which are there without a service proxy.
 */
export async function rulesOn(cluster: Cluster, node: string): Promise<readonly string[]> {
  const list = "nft --stateless list ruleset; find /sys/fs/bpf -mindepth 1 ! -name '*.debug'";
  const lines = (await cluster.run(onNode(node), "bash", "-ec", list)).split("\n").map((line) => line.trim());
  return lines.filter((line) => !isOfNode.test(line));
}

const isOfNode = new RegExp(
  [
    "|}|table ip6? (nat|filter|mangle) {|type (nat|filter|route) hook .*|counter jump KUBE-FIREWALL",
    "chain (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING|KUBE-FIREWALL|KUBE-KUBELET-CANARY|KUBE-IPTABLES-HINT) {",
    // The rule of KUBE-FIREWALL.
    "ip saddr != 127\\.0\\.0\\.0/8 ip daddr 127\\.0\\.0\\.0/8 .* drop",
  ].map((pattern) => `^(${pattern})$`).join("|"),
);

/** Reports whether replies of a flow come from another address than the one that the client sent to. */
function isTranslated(flow: string): boolean {
  const [, destination, source] = / dst=(\S+) .* src=(\S+) dst=/.exec(flow) ?? [];
  return destination !== source;
}
