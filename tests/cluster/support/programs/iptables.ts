import type { Cluster } from "../cluster.ts";
import { onNode } from "../places.ts";
import type { Family } from "./addresses.ts";

const builtIn = /^-[IA] (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) (?:\d+ )?(.*)$/;

/** Rules of another program on a node, in the format of iptables-save. They are removed at the end. */
export class ForeignRules implements AsyncDisposable {
  private constructor(
    private readonly cluster: Cluster,
    private readonly node: string,
    private readonly family: Family,
    private readonly rules: string,
  ) {}

  static async add(cluster: Cluster, node: string, family: Family, rules: string): Promise<ForeignRules> {
    await restore(cluster, node, family, rules);
    return new ForeignRules(cluster, node, family, rules);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await restore(this.cluster, this.node, this.family, removalOf(this.rules));
  }
}

/** Adds to the rules that exist, or removes from them, as the text says. */
async function restore(cluster: Cluster, node: string, family: Family, rules: string): Promise<void> {
  const program = family === "IPv4" ? "iptables-restore" : "ip6tables-restore";
  await cluster.run(onNode(node), "bash", "-c", '"$0" --noflush --wait 10 <<<"$1"', program, rules);
}

/** Returns the text that removes rules of built-in chains, and all other chains, of each table. */
function removalOf(rules: string): string {
  return rules.split(/^COMMIT\n/m).filter((table) => table.startsWith("*")).map((table) => {
    const lines = table.trim().split("\n");
    const chains = lines.filter((line) => line.startsWith(":")).map((line) => line.slice(1).split(" ")[0]);
    const jumps = lines.flatMap((line) => {
      const [, chain, rule] = builtIn.exec(line) ?? [];
      return chain === undefined ? [] : [`-D ${chain} ${rule}`];
    });
    return [
      lines[0],
      ...jumps,
      ...chains.map((chain) => `-F ${chain}`),
      ...chains.map((chain) => `-X ${chain}`),
      "COMMIT\n",
    ]
      .join("\n");
  }).join("");
}
