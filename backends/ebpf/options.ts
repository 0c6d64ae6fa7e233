import type { ConntrackTimeouts, OptionSource } from "../../core/backend/mode.ts";
import type { FieldReader } from "../../core/config/document/field_reader.ts";
import { type Balancing, BALANCINGS } from "../../core/objects/objects.ts";
import { ebpfFlags } from "./flags.ts";

/** Options of mode ebpf: the flags `--ebpf-*` and the timeouts of the section `conntrack`. */
export interface EbpfOptions {
  /** Directory of a bpffs where maps and links are pinned. They survive a restart; cleanup removes them. */
  readonly bpffs: string;
  /**
   * The cgroup whose processes have their sockets balanced, with the cgroups below it; "" for the root of
   * cgroup v2.
   */
  readonly cgroup: string;
  /**
   * The sockets that are balanced: those of all processes in the cgroup, or only those in the network namespace of the
   * node. Packets of the others are balanced instead.
   */
  readonly sockets: SocketScope;
  /** Network devices whose packets are balanced; empty for all except loopback. */
  readonly devices: readonly string[];
  /** The balancing of services that do not ask for one themselves. */
  readonly balancing: Balancing;
  readonly forwarding: Forwarding;
  /** Packets may skip the node's side of the veth pair of a pod (`PeerDevices`). */
  readonly redirectPeer: boolean;
  /** Slots of a Maglev table: a prime, many times the number of endpoints of a service. */
  readonly maglevTableSize: number;
  readonly capacity: Capacity;
  /**
   * How long an idle flow of packets is remembered. 0 stands for the kernel's own default (docs/behaviour.md
   * §9.4).
   */
  readonly timeouts: ConntrackTimeouts;
}

/**
 * How translated packets leave: past netfilter, through its chain FORWARD, or the one that the rules found there demand.
 */
export type Forwarding = typeof FORWARDINGS[number];
const FORWARDINGS = ["auto", "direct", "stack"] as const;

const SOCKET_SCOPES = ["all", "node"] as const;
export type SocketScope = typeof SOCKET_SCOPES[number];

/** Map capacities. Changing one creates new maps, to which flows and clients are carried over. */
export interface Capacity {
  /** Frontends: addresses and ports of services, node ports, and one entry per ClusterIP. */
  readonly frontends: number;
  /** Slots for endpoints. A slot takes 24 bytes, allocated at once. */
  readonly endpoints: number;
  /**
   * Established connections from outside. Half as many flows may be new, and half as many UDP flows may last. Each takes
   * two entries of 192 bytes, allocated at once.
   */
  readonly connections: number;
  /** Clients whose endpoint is remembered: network namespaces of this node, and as many addresses. */
  readonly clients: number;
}

/** 1.6 GB of endpoints. The kernel's own limit for such maps is far higher. */
const MAX_CAPACITY = 1 << 26;

export function readEbpfOptions({ valuesOf, conntrackTimeouts, read }: OptionSource): EbpfOptions {
  const flags = valuesOf(ebpfFlags);
  const capacity = (map: keyof Capacity) =>
    read.integer(`--ebpf-max-${map}`, flags[`ebpf-max-${map}`], 1, MAX_CAPACITY);
  const maglevTableSize = flags["ebpf-maglev-table-size"];
  if (!isPrime(maglevTableSize)) {
    read.wrong("--ebpf-maglev-table-size", maglevTableSize, "a prime, such as 251, 1021, 4093 or 65537");
  }
  return {
    bpffs: absolutePath("--ebpf-bpffs", flags["ebpf-bpffs"], read),
    cgroup: flags["ebpf-cgroup"] === "" ? "" : absolutePath("--ebpf-cgroup", flags["ebpf-cgroup"], read),
    sockets: read.choice("--ebpf-sockets", flags["ebpf-sockets"], SOCKET_SCOPES),
    devices: flags["ebpf-devices"],
    balancing: read.choice("--ebpf-balancing", flags["ebpf-balancing"], BALANCINGS),
    forwarding: read.choice("--ebpf-forward", flags["ebpf-forward"], FORWARDINGS),
    redirectPeer: flags["ebpf-redirect-peer"],
    maglevTableSize,
    capacity: {
      frontends: capacity("frontends"),
      endpoints: capacity("endpoints"),
      connections: capacity("connections"),
      clients: capacity("clients"),
    },
    timeouts: conntrackTimeouts,
  };
}

function absolutePath(flag: string, path: string, read: FieldReader): string {
  if (!/^(\/[^/]+)+$/.test(path)) read.wrong(flag, path, "an absolute path without a slash at its end");
  return path;
}

/** Trial division is fast enough for numbers of this size. */
function isPrime(number: number): boolean {
  if (!Number.isInteger(number) || number < 2) return false;
  for (let factor = 2; factor * factor <= number; factor++) if (number % factor === 0) return false;
  return true;
}
