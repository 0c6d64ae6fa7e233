import type { Lab } from "../lab/lab.ts";

/** All objects of the mode in node's kernel, each as one string that tells it from the others. */
export type KernelState = (lab: Lab) => Promise<ReadonlySet<string>>;

export const kernelStates: Readonly<Record<string, KernelState>> = { nftables, iptables };

/** @throws unless the tables of both families are there. */
async function nftables(lab: Lab): Promise<ReadonlySet<string>> {
  const tables = await Promise.all(["ip", "ip6"].map(async (family) => {
    const { code, stdout, stderr } = await lab.run("node", [
      "nft",
      "-j",
      "list",
      "table",
      family,
      "kube-proxy",
    ]);
    if (code !== 0) throw new Error(stderr);
    const listing: { nftables: Record<string, { handle?: number }>[] } = JSON.parse(stdout);
    return listing.nftables.filter((object) => !("metainfo" in object)).flatMap(describe);
  }));
  return new Set(tables.flat());
}

/** The elements of a set or map are objects of their own, so that a leftover one is named. Handles only count. */
function describe(object: Record<string, { handle?: number; elem?: unknown[] }>): string[] {
  return Object.entries(object).flatMap(([kind, { handle: _, elem, ...rest }]) => {
    const elements = elem?.map((element) => `element of ${JSON.stringify(rest)}: ${JSON.stringify(element)}`);
    return [`${kind} ${JSON.stringify(rest)}`, ...elements ?? []];
  });
}

/** Chains and rules, as stock iptables of the nf_tables flavour lists them. @throws unless both families have them. */
async function iptables(lab: Lab): Promise<ReadonlySet<string>> {
  const families = await Promise.all(["iptables", "ip6tables"].map(async (command) => {
    const { code, stdout, stderr } = await lab.run("node", [`${command}-nft-save`]);
    if (code !== 0 || stderr !== "") throw new Error(stderr);
    if (!stdout.includes("-A KUBE-POSTROUTING")) throw new Error(`${command} lists no KUBE-POSTROUTING`);
    const lines = stdout.split("\n").filter((line) => /^[:-]/.test(line))
      .map((line) => `${command} ${line.replace(/ \[\d+:\d+\]$/, "")}`);
    return [...Map.groupBy(lines, (line) => line)].map(([line, all]) => `${line} (${all.length} times)`);
  }));
  return new Set(families.flat());
}
