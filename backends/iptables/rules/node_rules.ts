import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { Chain, JumpRule, NodeRules, TableName } from "./layout.ts";
import {
  CT_STATE_INVALID_DROPPED,
  filterExternalServices,
  filterNodePorts,
  filterProxyFirewall,
  filterServices,
  KUBE_EXTERNAL_SERVICES,
  KUBE_FIREWALL,
  KUBE_FORWARD,
  KUBE_MARK_MASQ,
  KUBE_NODEPORTS,
  KUBE_POSTROUTING,
  KUBE_PROXY_CANARY,
  KUBE_PROXY_FIREWALL,
  KUBE_SERVICES,
  natNodePorts,
  natServices,
} from "./names.ts";
import type { Match, Rule } from "./rule.ts";
import {
  accept,
  comment,
  ctstate,
  drop,
  inRange,
  isAddress,
  jump,
  loopbackRanges,
  outOfRange,
  toThisNode,
} from "./parts.ts";

/** What the node's rules depend on besides its settings. */
export interface NodeRulesContext {
  /** The counters that `-m nfacct` can name exist. */
  readonly nfacct: boolean;
  /** nf_conntrack_tcp_be_liberal is not set, so that a late packet can reset a connection. */
  readonly dropsInvalid: boolean;
}

/** What a node needs whatever its services are, in upstream's words (docs/behaviour.md §5.1). */
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
      { ...natServices, last: toNodePorts(settings) },
      { ...natNodePorts, last: [] },
      { ...filterServices, last: [] },
      { ...filterExternalServices, last: [] },
      { ...filterNodePorts, last: [] },
      { ...filterProxyFirewall, last: [] },
    ],
    joint: [{
      table: "filter",
      name: KUBE_FIREWALL,
      rules: settings.localhostNodePorts ? [blockLocalnet] : [],
    }],
    jumps,
  };
}

function masquerading({ masqueradeMark: mark }: NodeSettings): readonly Rule[] {
  return [
    { matches: [{ match: "mark", value: mark, mask: mark, inverted: true }], target: { target: "RETURN" } },
    // Takes the mark off, so that a packet which comes by once more is not masqueraded again.
    { matches: [], target: { target: "MARK", value: mark, mask: 0 } },
    { matches: [comment("kubernetes service traffic requiring SNAT")], target: { target: "MASQUERADE" } },
  ];
}

function marking({ masqueradeMark: mark }: NodeSettings): readonly Rule[] {
  return [{ matches: [], target: { target: "MARK", value: mark, mask: mark } }];
}

function forwarding(
  { masqueradeMark: mark }: NodeSettings,
  { nfacct, dropsInvalid }: NodeRulesContext,
): readonly Rule[] {
  const counter: Match = { match: "nfacct", name: CT_STATE_INVALID_DROPPED };
  const invalid: Rule = {
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

/** A chain that is only there to be missed when someone flushes the tables. */
function canary(table: TableName): Chain {
  return { table, name: KUBE_PROXY_CANARY, rules: [] };
}

/** Behind all services, for a node port is looked for only where nothing else is. */
function toNodePorts(
  { family, nodePorts, localhostNodePorts }: NodeSettings,
): readonly Rule[] {
  const text = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain");
  const target = jump(KUBE_NODEPORTS);
  if (nodePorts !== "all") {
    return nodePorts.map((address) => ({ destination: isAddress(address), matches: [text], target }));
  }
  const rule: Rule = { matches: [text, toThisNode], target };
  return [localhostNodePorts ? rule : { destination: outOfRange(loopbackRanges[family]), ...rule }];
}

/** With route_localnet the kernel would let neighbours reach what listens on loopback addresses. kubelet has it too. */
export const blockLocalnet: Rule = {
  source: outOfRange(loopbackRanges.IPv4),
  destination: inRange(loopbackRanges.IPv4),
  matches: [
    comment("block incoming localnet connections"),
    { match: "ctstate", states: ["RELATED", "ESTABLISHED", "DNAT"], inverted: true },
  ],
  target: drop,
};

const jumps: readonly JumpRule[] = [
  ofNew("filter", "INPUT", KUBE_EXTERNAL_SERVICES, "kubernetes externally-visible service portals"),
  ofNew("filter", "FORWARD", KUBE_EXTERNAL_SERVICES, "kubernetes externally-visible service portals"),
  ofAll("filter", "INPUT", KUBE_NODEPORTS, "kubernetes health check service ports"),
  ofNew("filter", "FORWARD", KUBE_SERVICES, "kubernetes service portals"),
  ofNew("filter", "OUTPUT", KUBE_SERVICES, "kubernetes service portals"),
  ofAll("filter", "FORWARD", KUBE_FORWARD, "kubernetes forwarding rules"),
  ofNew("filter", "INPUT", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  ofNew("filter", "OUTPUT", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  ofNew("filter", "FORWARD", KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall"),
  ofAll("nat", "OUTPUT", KUBE_SERVICES, "kubernetes service portals"),
  ofAll("nat", "PREROUTING", KUBE_SERVICES, "kubernetes service portals"),
  ofAll("nat", "POSTROUTING", KUBE_POSTROUTING, "kubernetes postrouting rules"),
  // kubelet makes the same two, in its words.
  { table: "filter", from: "INPUT", rule: { matches: [], target: jump(KUBE_FIREWALL) } },
  { table: "filter", from: "OUTPUT", rule: { matches: [], target: jump(KUBE_FIREWALL) } },
];

/** For the first packet of a connection. */
function ofNew(table: JumpRule["table"], from: string, to: string, text: string): JumpRule {
  return { table, from, rule: { matches: [ctstate("NEW"), comment(text)], target: jump(to) } };
}

function ofAll(table: JumpRule["table"], from: string, to: string, text: string): JumpRule {
  return { table, from, rule: { matches: [comment(text)], target: jump(to) } };
}
