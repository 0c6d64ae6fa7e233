import type { Family } from "../net/protocol.ts";
import { BRIDGE_SYSCTL, FORWARDING_SYSCTL, type KernelFacts } from "../node/kernel_facts.ts";
import type { Finding } from "./explanation.ts";
import { listed } from "./listed.ts";

/** Findings about this node, which concern every service. */
export function* kernelFindings(
  { forwards, conntrack, strictReversePath, otherProxies, legacyTables, ...facts }: KernelFacts,
  families: readonly Family[],
): Generator<Finding> {
  for (const { pid, name } of otherProxies) {
    yield {
      cause: "another-proxy-runs",
      severity: "problem",
      about: `process ${pid}`,
      text: `${name} runs in this network namespace, too. Two proxies undo each other's changes.`,
      advice: `Stop ${name}, for example with the command for taking over in docs/operations.md`,
    };
  }
  for (const family of families.filter((one) => forwards[one] === false)) {
    const name = FORWARDING_SYSCTL[family];
    yield {
      cause: "forwarding-off",
      severity: "problem",
      about: name,
      text: `The node does not forward ${family} packets, so only its own processes reach services.`,
      advice: `sysctl -w ${name}=1, and make it permanent in /etc/sysctl.d`,
    };
  }
  if (conntrack !== undefined) yield* conntrackFindings(conntrack);
  yield* bridgeFindings(facts, families);
  if (strictReversePath.length > 0) {
    yield {
      cause: "reverse-path-filter",
      severity: "notice",
      about: "net.ipv4.conf.*.rp_filter",
      text: `${listed(strictReversePath)} drop packets whose source is routed through another interface ` +
        "(strict mode).",
      advice: "If clients reach this node through one interface and are answered through another, set " +
        "rp_filter to 2 (loose)",
    };
  }
  if (legacyTables.length > 0) {
    yield {
      cause: "legacy-tables",
      severity: "notice",
      about: "iptables-legacy",
      text: `iptables-legacy has tables in the kernel: ${listed(legacyTables)}. Their rules apply in ` +
        "addition to those of nf_tables, and iptables-nft does not show them.",
      advice: "Look for rules that drop or translate: iptables-legacy-save, ip6tables-legacy-save",
    };
  }
}

/** Share of the limit from which the table is called almost full. */
const ALMOST_FULL = 0.9;

function* conntrackFindings(
  { entries, limit }: NonNullable<KernelFacts["conntrack"]>,
): Generator<Finding> {
  if (limit === 0 || entries < ALMOST_FULL * limit) return;
  const isFull = entries >= limit;
  yield {
    cause: isFull ? "conntrack-full" : "conntrack-almost-full",
    severity: isFull ? "problem" : "notice",
    about: "net.netfilter.nf_conntrack_max",
    text: `The table of connections has ${entries} of ${limit} entries.` +
      (isFull ? " The kernel drops packets of new connections." : ""),
    advice: `Raise conntrack.maxPerCore (--conntrack-max-per-core), or find who opens so many connections: ` +
      "conntrack -L",
  };
}

function* bridgeFindings(
  { bridges, bridgesCallNetfilter }: Pick<KernelFacts, "bridges" | "bridgesCallNetfilter">,
  families: readonly Family[],
): Generator<Finding> {
  const off = families.filter((family) => bridgesCallNetfilter[family] !== true);
  if (bridges.length === 0 || off.length === 0) return;
  const names = off.map((family) => BRIDGE_SYSCTL[family]);
  yield {
    cause: "bridge-bypasses-netfilter",
    severity: "notice",
    about: names.join(", "),
    text:
      `Netfilter does not see the packets that ${listed(bridges)} forward. A pod whose Service leads to ` +
      "a pod on the same bridge gets the answer from an address that it does not expect.",
    advice: `If pods are on a bridge: modprobe br_netfilter, and sysctl -w ${names.join("=1 ")}=1`,
  };
}
