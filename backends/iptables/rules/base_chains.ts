import * as nft from "../../nf_tables/constants.ts";
import type { TableName } from "./layout.ts";

/** A chain that packets enter from a hook of the kernel, as iptables-nft makes it. */
export interface BaseChain {
  readonly table: TableName;
  readonly name: string;
  readonly type: "filter" | "nat";
  readonly hook: number;
  readonly priority: number;
}

const hooks: Readonly<Record<string, number>> = {
  PREROUTING: nft.NF_INET_PRE_ROUTING,
  INPUT: nft.NF_INET_LOCAL_IN,
  FORWARD: nft.NF_INET_FORWARD,
  OUTPUT: nft.NF_INET_LOCAL_OUT,
  POSTROUTING: nft.NF_INET_POST_ROUTING,
};

/** One that our rules are jumped to from. */
export function baseChain(table: "filter" | "nat", name: string): BaseChain {
  const hook = hooks[name];
  if (hook === undefined) throw new Error(`iptables has no built-in chain ${name}`);
  if (table === "filter") return { table, name, type: "filter", hook, priority: nft.NF_IP_PRI_FILTER };
  const isSource = name === "POSTROUTING" || name === "INPUT";
  return {
    table,
    name,
    type: "nat",
    hook,
    priority: isSource ? nft.NF_IP_PRI_NAT_SRC : nft.NF_IP_PRI_NAT_DST,
  };
}
