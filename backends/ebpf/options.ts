import type { Balancing } from "../../core/objects/objects.ts";

/** What can be chosen of mode ebpf: the flags `--ebpf-*`. */
export interface EbpfOptions {
  /** Directory of a bpffs where maps and links are pinned: what survives a restart, and what cleanup removes. */
  readonly bpffs: string;
  /** The cgroup whose processes' sockets are balanced, with those below it; "" for the root of cgroup v2. */
  readonly cgroup: string;
  /** Network devices whose packets are balanced; empty for all but loopback. */
  readonly devices: readonly string[];
  /** Of services that do not ask for one themselves. */
  readonly balancing: Balancing;
  /** Slots of a Maglev table: a prime, many times the endpoints of a service. */
  readonly maglevTableSize: number;
  /** What the maps have room for. Others than those that are pinned make new maps: what the old ones remember is lost. */
  readonly room: Room;
  /** How long a flow of packets is remembered without any; 0 for the kernel's own defaults (docs/behaviour.md §9.4). */
  readonly timeouts: FlowTimeouts;
}

export interface Room {
  /** Frontends: an address and port of a service, a node port; and one for each ClusterIP. */
  readonly frontends: number;
  /** Slots for endpoints, of 24 bytes that are taken at once. */
  readonly endpoints: number;
  /** Flows of packets from outside, two entries each; of 200 bytes that are taken at once. */
  readonly connections: number;
  /** Clients whose endpoint is remembered, and sockets that send datagrams. */
  readonly clients: number;
}

export interface FlowTimeouts {
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}
