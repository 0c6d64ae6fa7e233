import type { Requirement } from "../../backend/contract.ts";
import { formatListenAddress, type ListenAddress } from "../../config/document/listen_address.ts";
import { listed } from "../../config/flags/mode_names.ts";
import { formatSocketAddress, isUnspecified, parseAddress } from "../../net/address.ts";
import type { Family } from "../../net/protocol.ts";
import { BRIDGE_SYSCTL, FORWARDING_SYSCTL, type KernelFacts } from "../../node/kernel_facts.ts";
import type { Listener } from "../../node/listeners.ts";
import type { LeftoversOfMode } from "../cleanup/other_modes.ts";
import type { SocketOwner } from "../../node/socket_owners.ts";

/** The configuration and the processes that the facts of a node are judged by. */
export interface NodeUse {
  readonly families: readonly Family[];
  readonly healthz: ListenAddress | undefined;
  readonly metrics: ListenAddress | undefined;
  /** The limit of tracked connections that a start sets; 0 if it keeps the kernel's. */
  readonly conntrackMax: number;
  /** Describes the proxy that has the lock of this network namespace; undefined if none has it. */
  readonly lockHolder: string | undefined;
  /** The kernel objects of modes that would not start; undefined if the kernel cannot be read. */
  readonly otherModes: readonly LeftoversOfMode[] | undefined;
  /** Listening TCP sockets of this network namespace. */
  readonly listeners: readonly Listener[];
  /** The processes that have them, by inode. */
  readonly owners: ReadonlyMap<number, SocketOwner>;
}

/** The node ports that the API server allocates by default (`--service-node-port-range`). */
const NODE_PORTS = { first: 30000, last: 32767 };

/** Share of the limit of conntrack above which it should be raised. */
const MAX_CONNTRACK_SHARE = 0.75;

/** Judges the facts of a node that decide, besides the modes' own requirements, whether services work. */
export function nodeRequirements(facts: KernelFacts, use: NodeUse): readonly Requirement[] {
  return [
    ...use.families.map((family) => forwarding(facts, family)),
    pathFilter(facts),
    ...use.families.map((family) => bridgeCalls(facts, family)),
    conntrack(facts.conntrack, use.conntrackMax),
    ...servedPort("health", use.healthz, use),
    ...servedPort("metrics", use.metrics, use),
    nodePorts(use),
    noOtherProxy(facts, use),
    ...(use.otherModes === undefined ? [] : [noOtherRules(use.otherModes)]),
  ];
}

function forwarding({ forwards }: KernelFacts, family: Family): Requirement {
  const sysctl = FORWARDING_SYSCTL[family];
  const what = { name: `sysctl ${sysctl} = 1`, severity: "recommended" } as const;
  if (forwards[family]) return { ...what, found: true, detail: "packets are forwarded" };
  const value = forwards[family] === false ? "0" : "not readable";
  return {
    ...what,
    found: false,
    detail: `it is ${value}, so endpoints in pods and on other nodes cannot be reached`,
    fix: `sysctl -w ${sysctl}=1`,
  };
}

function pathFilter({ strictReversePath }: KernelFacts): Requirement {
  const what = { name: "sysctls net.ipv4.conf.*.rp_filter = 0 or 2", severity: "recommended" } as const;
  // With one device, every reply leaves by the device of the request.
  if (strictReversePath.length < 2) {
    return { ...what, found: true, detail: "replies may leave by another device" };
  }
  return {
    ...what,
    found: false,
    detail: `strict for ${
      few(strictReversePath)
    }: packets whose reply would leave by another device are dropped`,
    fix: "sysctl -w net.ipv4.conf.all.rp_filter=2",
  };
}

function bridgeCalls({ bridges, bridgesCallNetfilter }: KernelFacts, family: Family): Requirement {
  const sysctl = BRIDGE_SYSCTL[family];
  const what = { name: `sysctl ${sysctl} = 1`, severity: "recommended" } as const;
  if (bridges.length === 0) return { ...what, found: true, detail: "not needed: there is no bridge" };
  const calls = bridgesCallNetfilter[family];
  if (calls) return { ...what, found: true, detail: `replies on bridge ${few(bridges)} are translated` };
  return {
    ...what,
    found: false,
    detail:
      `it is ${calls === false ? "0" : "missing"}: a pod on bridge ${
        few(bridges)
      } gets no valid reply from ` +
      "an endpoint on the same bridge",
    fix: `modprobe br_netfilter; sysctl -w ${sysctl}=1`,
  };
}

function conntrack(table: KernelFacts["conntrack"], desired: number): Requirement {
  const what = { name: "room in the conntrack table", severity: "recommended" } as const;
  if (table === undefined) {
    return { ...what, found: true, detail: "it is empty: the module is not loaded yet" };
  }
  const { entries, limit } = table;
  if (limit === 0) return { ...what, found: true, detail: `${entries} connections, without a limit` };
  const detail = `${entries} of at most ${limit} connections`;
  if (entries <= MAX_CONNTRACK_SHARE * limit) return { ...what, found: true, detail };
  const recommended = Math.max(desired, 2 * entries);
  return {
    ...what,
    found: false,
    detail: `${detail}: new ones are dropped when it is full. Recommended limit: ${recommended}`,
    fix: `sysctl -w net.netfilter.nf_conntrack_max=${recommended}`,
  };
}

function servedPort(
  purpose: string,
  address: ListenAddress | undefined,
  { listeners, owners }: NodeUse,
): Requirement[] {
  if (address === undefined) return [];
  const what = { name: `${formatListenAddress(address)} for ${purpose}`, severity: "recommended" } as const;
  const taken = listeners.find((listener) => overlaps(listener, address));
  if (taken === undefined) return [{ ...what, found: true, detail: "nothing listens on it" }];
  return [{
    ...what,
    found: false,
    detail: `${describeOwner(taken, owners)} listens on it: stop that, or use another address`,
  }];
}

function nodePorts({ listeners, owners }: NodeUse): Requirement {
  const { first, last } = NODE_PORTS;
  const what = { name: `node ports ${first}-${last}`, severity: "optional" } as const;
  const taken = listeners.filter(({ port }) => port >= first && port <= last);
  if (taken.length === 0) return { ...what, found: true, detail: "nothing listens on them" };
  const named = taken.map((listener) => `${listener.port} (${describeOwner(listener, owners)})`);
  return {
    ...what,
    found: false,
    detail: `${
      few([...new Set(named)])
    } in use: a service with such a node port gets its connections instead`,
  };
}

function noOtherProxy({ otherProxies, seesAllProcesses }: KernelFacts, { lockHolder }: NodeUse): Requirement {
  const what = { name: "no other proxy at work", severity: "recommended" } as const;
  const running = [
    ...(lockHolder === undefined ? [] : [lockHolder]),
    ...otherProxies.map(({ pid, name }) => `${name} (pid ${pid})`),
  ];
  if (running.length === 0) {
    return {
      ...what,
      found: true,
      detail: seesAllProcesses
        ? "none runs in this network namespace"
        : "none in this PID namespace, which hides other containers. On the node: ps -C kube-proxy,cilium-agent,kube-router",
    };
  }
  return {
    ...what,
    found: false,
    detail: `${
      listed(running, "and")
    } in this network namespace: stop it before the start, or use --wait-for-lock`,
  };
}

function noOtherRules(otherModes: readonly LeftoversOfMode[]): Requirement {
  const what = { name: "no rules of other modes", severity: "optional" } as const;
  const left = otherModes.filter(({ removed }) => removed.length > 0);
  if (left.length === 0) return { ...what, found: true, detail: "none, neither ours nor kube-proxy's" };
  const named = left.map(({ mode, removed }) => `mode ${mode}: ${few(removed)}`);
  return {
    ...what,
    found: false,
    detail: `${named.join("; ")}. A start removes them once its own are in force (proxy diff lists them)`,
  };
}

function describeOwner({ inode, address, port }: Listener, owners: ReadonlyMap<number, SocketOwner>): string {
  const owner = owners.get(inode);
  return owner === undefined
    ? `another process (${formatSocketAddress(address, port)})`
    : `${owner.name} (pid ${owner.pid})`;
}

/** Reports whether a socket cannot be opened because of another one. */
function overlaps(listener: Listener, { hostname, port }: ListenAddress): boolean {
  const address = parseAddress(hostname);
  if (listener.port !== port || address === undefined) return false;
  return isUnspecified(listener.address) || isUnspecified(address) || listener.address === address;
}

const MAX_NAMED = 5;

function few(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(", ")} and ${more} more` : listed(names, "and");
}
