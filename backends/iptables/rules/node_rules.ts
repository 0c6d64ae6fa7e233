import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { IptablesChain, JumpRule, NodeRules, TableName } from "./layout.ts";
import {
  CT_STATE_INVALID_DROPPED,
  FILTER_EXTERNAL_SERVICES,
  FILTER_NODE_PORTS,
  FILTER_PROXY_FIREWALL,
  FILTER_SERVICES,
  KUBE_EXTERNAL_SERVICES,
  KUBE_FIREWALL,
  KUBE_FORWARD,
  KUBE_MARK_MASQ,
  KUBE_NODEPORTS,
  KUBE_POSTROUTING,
  KUBE_PROXY_CANARY,
  KUBE_PROXY_FIREWALL,
  KUBE_SERVICES,
  NAT_NODE_PORTS,
  NAT_SERVICES,
} from "./names.ts";
import {
  accept,
  comment,
  ctstate,
  drop,
  inRange,
  type IptablesRule,
  isAddress,
  jump,
  LOOPBACK_RANGES,
  type Match,
  outOfRange,
  toThisNode,
} from "./rule.ts";

/** Inputs of the node's rules besides its settings. */
export interface NodeRulesContext {
  /** The counters that `-m nfacct` names exist. */
  readonly nfacct: boolean;
  /**
   * nf_conntrack_tcp_be_liberal is not set, so a packet outside the TCP window could reset its connection.
   */
  readonly dropsInvalid: boolean;
}

/** Compiles the rules that a node needs independently of its services: docs/behaviour.md §5.1. */
export function nodeRules(settings: NodeSettings, context: NodeRulesContext): NodeRules {
  return {
    chains: [
      { table: "nat", name: KUBE_POSTROUTING, rules: masquerading(settings) },
      { table: "nat", name: KUBE_MARK_MASQ, rules: marking(settings) },
      { table: "filter", name: KUBE_FORWARD, rules: forwarding(settings, context) },
      canary("mangle"),
      canary("nat"),
      canary("filter"),
    ],
    shared: [
      { ...NAT_SERVICES, last: toNodePorts(settings) },
      { ...NAT_NODE_PORTS, last: [] },
      { ...FILTER_SERVICES, last: [] },
      { ...FILTER_EXTERNAL_SERVICES, last: [] },
      { ...FILTER_NODE_PORTS, last: [] },
      { ...FILTER_PROXY_FIREWALL, last: [] },
    ],
    joint: [{
      table: "filter",
      name: KUBE_FIREWALL,
      rules: settings.localhostNodePorts ? [BLOCK_LOCALNET] : [],
    }],
    jumps: JUMPS,
  };
}

function masquerading({ masqueradeMark: mark }: NodeSettings): readonly IptablesRule[] {
  return [
    { matches: [{ match: "mark", value: mark, mask: mark, inverted: true }], target: { target: "RETURN" } },
    // Clears the mark, so that a packet that passes the chain again is not masqueraded again.
    { matches: [], target: { target: "MARK", value: mark, mask: 0 } },
    { matches: [comment("kubernetes service traffic requiring SNAT")], target: { target: "MASQUERADE" } },
  ];
}

function marking({ masqueradeMark: mark }: NodeSettings): readonly IptablesRule[] {
  return [{ matches: [], target: { target: "MARK", value: mark, mask: mark } }];
}

function forwarding(
  { masqueradeMark: mark }: NodeSettings,
  { nfacct, dropsInvalid }: NodeRulesContext,
): readonly IptablesRule[] {
  const counter: Match = { match: "nfacct", name: CT_STATE_INVALID_DROPPED };
  const invalid: IptablesRule = {
    matches: nfacct ? [ctstate("INVALID"), counter] : [ctstate("INVALID")],
    target: drop,
  };
  const isMarked: Match = { match: "mark", value: mark, mask: mark, inverted: false };
  const isKnown = ctstate("RELATED", "ESTABLISHED");
  return [
    ...(dropsInvalid ? [invalid] : []),
    { matches: [comment("kubernetes forwarding rules"), isMarked], target: accept },
    { matches: [comment("kubernetes forwarding conntrack rule"), isKnown], target: accept },
  ];
}

/** An empty chain. kube-proxy notices a flush of the tables by its absence. */
function canary(table: TableName): IptablesChain {
  return { table, name: KUBE_PROXY_CANARY, rules: [] };
}

/** Rules behind those of all services, so that node ports are looked up only if no other frontend matches. */
function toNodePorts(
  { family, nodePorts, localhostNodePorts }: NodeSettings,
): readonly IptablesRule[] {
  const text = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain");
  const target = jump(KUBE_NODEPORTS);
  if (nodePorts !== "all") {
    return nodePorts.map((address) => ({ destination: isAddress(address), matches: [text], target }));
  }
  const rule: IptablesRule = { matches: [text, toThisNode], target };
  return [localhostNodePorts ? rule : { destination: outOfRange(LOOPBACK_RANGES[family]), ...rule }];
}

/**
 * Drops packets from other hosts to loopback addresses, except those of established or translated
 * connections. Without it, route_localnet would let neighbours reach programs that listen on loopback
 * addresses. kubelet makes the same rule.
 */
export const BLOCK_LOCALNET: IptablesRule = {
  source: outOfRange(LOOPBACK_RANGES.IPv4),
  destination: inRange(LOOPBACK_RANGES.IPv4),
  matches: [
    comment("block incoming localnet connections"),
    { match: "ctstate", states: ["RELATED", "ESTABLISHED", "DNAT"], inverted: true },
  ],
  target: drop,
};

const JUMPS: readonly JumpRule[] = [
  jumpOfNew("filter", "INPUT", KUBE_EXTERNAL_SERVICES, "kubernetes externally-visible service portals"),
  jumpOfNew("filter", "FORWARD", KUBE_EXTERNAL_SERVICES, "kubernetes externally-visible service portals"),
  jumpOfAll("filter", "INPUT", KUBE_NODEPORTS, "kubernetes health check service ports"),
  jumpOfNew("filter", "FORWARD", KUBE_SERVICES, "kubernetes service portals"),
  jumpOfNew("filter", "OUTPUT", KUBE_SERVICES, "kubernetes service portals"),
  jumpOfAll("filter", "FORWARD", KUBE_FORWARD, "kubernetes forwarding rules"),
  jumpOfNew("filter", "INPUT", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  jumpOfNew("filter", "OUTPUT", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  jumpOfNew("filter", "FORWARD", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  jumpOfAll("nat", "OUTPUT", KUBE_SERVICES, "kubernetes service portals"),
  jumpOfAll("nat", "PREROUTING", KUBE_SERVICES, "kubernetes service portals"),
  jumpOfAll("nat", "POSTROUTING", KUBE_POSTROUTING, "kubernetes postrouting rules"),
  // kubelet makes the same two rules.
  { table: "filter", from: "INPUT", rule: { matches: [], target: jump(KUBE_FIREWALL) } },
  { table: "filter", from: "OUTPUT", rule: { matches: [], target: jump(KUBE_FIREWALL) } },
];

/** A jump that only the first packet of a connection takes. */
function jumpOfNew(table: JumpRule["table"], from: string, to: string, text: string): JumpRule {
  return { table, from, rule: { matches: [ctstate("NEW"), comment(text)], target: jump(to) } };
}

/** A jump that every packet takes. */
function jumpOfAll(table: JumpRule["table"], from: string, to: string, text: string): JumpRule {
  return { table, from, rule: { matches: [comment(text)], target: jump(to) } };
}
