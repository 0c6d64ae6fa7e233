import type { TableName } from "../../../../backends/iptables/rules/layout.ts";
import { LOCALHOST_NODE_PORTS_ACCEPTED } from "../../../../backends/iptables/rules/names.ts";
import type { IptablesRule, Match, Target } from "../../../../backends/iptables/rules/rule.ts";
import { addressFromBytes, hostCidr, parseAddress, parseCidr } from "../../../../core/net/address.ts";
import type { Family } from "../../../../core/net/protocol.ts";

/** The chain that the rules of `everyRule` jump to. */
export const SERVICE_CHAIN = "KUBE-SVC-XPGD46QRK7WJZT7O";
const ENDPOINT_CHAIN = "KUBE-SEP-SXIVWICOYRO3J4NJ";
const MARK = 0x4000;

const jump: Target = { target: "jump", chain: SERVICE_CHAIN };
const comment = (text: string): Match => ({ match: "comment", text });
const only = (...matches: readonly Match[]): IptablesRule => ({ matches, target: jump });

/** Rules with every match and target in each of its forms, and with the combinations that kube-proxy uses. */
export function everyRule(family: Family): readonly IptablesRule[] {
  const address = (ipv4: string, ipv6: string) =>
    parseAddress(family === "IPv4" ? ipv4 : ipv6) ?? missing(ipv4);
  const cidr = (ipv4: string, ipv6: string) => parseCidr(family === "IPv4" ? ipv4 : ipv6) ?? missing(ipv4);
  const endpoint = address("10.180.0.1", "fd00:10:180::1");
  const dnat: Target = { target: "DNAT", address: endpoint, port: 8080 };
  const clusterIp = { cidr: hostCidr(address("10.96.0.10", "fd00:96::a")), inverted: false };
  const prefixes = [
    cidr("10.0.0.0/8", "fd00::/8"),
    cidr("10.180.0.0/16", "fd00:10::/32"),
    cidr("10.180.0.0/23", "fd00:10:180::/63"),
    cidr("128.0.0.0/1", "8000::/1"),
    cidr("10.180.0.4/30", "fd00:10:180::4/126"),
    cidr("127.0.0.0/8", "::1/128"),
    cidr("0.0.0.0/0", "::/0"),
    hostCidr(addressFromBytes(new Uint8Array(endpoint.length).fill(0xff))),
  ];
  return [
    ...prefixes.map((cidr): IptablesRule => ({
      source: { cidr, inverted: false },
      matches: [],
      target: jump,
    })),
    ...prefixes.filter(({ prefix }) => prefix > 0).flatMap((cidr): IptablesRule[] => [
      { source: { cidr, inverted: true }, matches: [], target: jump },
      { destination: { cidr, inverted: true }, matches: [], target: jump },
    ]),
    ...["eth0", "cali+", "abcdefghijklmno", "abcdefghijklmn+"].flatMap((name): IptablesRule[] => [
      { inInterface: { name, inverted: false }, matches: [], target: jump },
      { inInterface: { name, inverted: true }, matches: [], target: jump },
    ]),
    ...(["TCP", "UDP", "SCTP"] as const).flatMap((protocol): IptablesRule[] => [
      { protocol, matches: [], target: jump },
      { protocol, matches: [{ match: "protocol" }], target: dnat },
      { protocol, matches: [{ match: "dport", port: 53 }], target: jump },
      {
        destination: clusterIp,
        protocol,
        matches: [comment("ns1/svc1:p80 cluster IP"), { match: "dport", port: 65535 }],
        target: jump,
      },
    ]),
    {
      source: { cidr: cidr("10.0.0.0/12", "fd00::/12"), inverted: true },
      destination: clusterIp,
      inInterface: { name: "eth0", inverted: false },
      protocol: "TCP",
      matches: [
        { match: "dport", port: 80 },
        comment("all"),
        { match: "mark", value: MARK, mask: MARK, inverted: false },
        { match: "ctstate", states: ["NEW"], inverted: false },
      ],
    },
    only(comment("word")),
    only(comment("two words")),
    only(comment(`it's "quoted" \\`)),
    only(comment("x".repeat(255))),
    only({ match: "ctstate", states: ["NEW"], inverted: false }),
    only({ match: "ctstate", states: ["ESTABLISHED", "RELATED"], inverted: false }),
    only({ match: "ctstate", states: ["DNAT", "RELATED", "ESTABLISHED"], inverted: true }),
    only({ match: "ctstate", states: ["INVALID"], inverted: false }),
    only({ match: "mark", value: MARK, mask: MARK, inverted: false }),
    only({ match: "mark", value: MARK, mask: MARK, inverted: true }),
    only({ match: "mark", value: 0x80000001, mask: 0xffffffff, inverted: false }),
    only({ match: "addrtype", of: "source" }),
    only({ match: "addrtype", of: "destination" }),
    ...[1, 0.5, 0.3333333333, 0.1428571429, 0.001].map((probability) =>
      only({ match: "statistic", probability })
    ),
    only({ match: "recent-set", name: ENDPOINT_CHAIN }),
    only({ match: "recent-check", name: ENDPOINT_CHAIN, seconds: 10800 }),
    only({ match: "nfacct", name: LOCALHOST_NODE_PORTS_ACCEPTED }),
    {
      protocol: "TCP",
      matches: [comment("ns1/svc1:p80"), { match: "recent-set", name: ENDPOINT_CHAIN }, {
        match: "protocol",
      }],
      target: dnat,
    },
    {
      destination: { cidr: cidr("127.0.0.0/8", "::1/128"), inverted: false },
      protocol: "UDP",
      matches: [
        comment("ns1/svc1:p80"),
        { match: "dport", port: 30080 },
        { match: "nfacct", name: LOCALHOST_NODE_PORTS_ACCEPTED },
      ],
      target: jump,
    },
    { matches: [], target: { target: "jump", chain: "C" } },
    { matches: [comment("other traffic to ns1/svc1:p80 will be dropped by KUBE-PROXY-FIREWALL")] },
    { matches: [], target: { target: "ACCEPT" } },
    { matches: [], target: { target: "DROP" } },
    { matches: [], target: { target: "RETURN" } },
    { matches: [], target: { target: "REJECT" } },
    { matches: [comment("ns1/svc1:p80 has no endpoints")], target: { target: "REJECT" } },
    { matches: [], target: { target: "MARK", value: MARK, mask: MARK } },
    { matches: [], target: { target: "MARK", value: MARK, mask: 0 } },
    { matches: [], target: { target: "MASQUERADE" } },
    { protocol: "TCP", matches: [], target: dnat },
  ];
}

/**
 * The table that allows the rule. The kernel allows REJECT only in table filter, and iptables rejects DROP in
 * nat.
 */
export function tableOf({ target }: IptablesRule): TableName {
  return target?.target === "REJECT" || target?.target === "DROP" ? "filter" : "nat";
}

function missing(text: string): never {
  throw new Error(`not an address: ${text}`);
}
