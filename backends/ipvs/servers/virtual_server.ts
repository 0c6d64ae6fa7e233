import { type Address, addressBits, formatSocketAddress } from "../../../core/net/address.ts";
import type { Volume } from "../../../core/backend/traffic.ts";
import type { Family, Protocol } from "../../../core/net/protocol.ts";

/** Identity of a virtual server. */
export interface VirtualServerId {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
}

/** A virtual server, as `ipvsadm -A` adds it. */
export interface VirtualServer extends VirtualServerId {
  /** Name of the kernel module without `ip_vs_`. */
  readonly scheduler: string;
  /** How long a client stays with its real server; 0 for no persistence. */
  readonly persistenceSeconds: number;
  /** Flags of the scheduler: IP_VS_SVC_F_SCHED1 to 3. Does not include the flag for persistence. */
  readonly flags: number;
}

/** An endpoint of a virtual server, reached by masquerading (NAT). Its address and port identify it. */
export interface RealServer {
  readonly address: Address;
  readonly port: number;
  /** Share of the new connections; 0 for none, while existing connections continue. */
  readonly weight: number;
}

/** A virtual server as the kernel holds it. */
export interface KernelVirtualServer extends VirtualServer {
  /**
   * Persistence applies to clients that share this prefix of their address, in bits. Ours: the whole address.
   */
  readonly persistencePrefix: number;
}

/** Counters of a virtual server since it was added. */
export interface Statistics {
  readonly connections: number;
  readonly toEndpoints: Volume;
  readonly fromEndpoints: Volume;
}

/** A real server as the kernel holds it. */
export interface KernelRealServer extends RealServer {
  /** False if another program added it with a forwarding method whose replies bypass this node. */
  readonly isMasqueraded: boolean;
  /** Established connections. */
  readonly active: number;
  /** All other connections: opening, closing, and one-way UDP. */
  readonly inactive: number;
  /** Clients that will come back to it (persistence templates). */
  readonly persistent: number;
}

/** Map key of a virtual server. Does not depend on its settings. */
export function virtualServerKey({ protocol, address, port }: VirtualServerId): string {
  return protocol + String.fromCharCode(port >> 8, port & 0xff) + address;
}

/** Map key of a real server within its virtual server. Does not depend on its weight. */
export function realServerKey({ address, port }: Pick<RealServer, "address" | "port">): string {
  return String.fromCharCode(port >> 8, port & 0xff) + address;
}

/** Reports whether the actual virtual server needs no change. */
export function sameVirtualServer(
  desired: VirtualServer,
  actual: VirtualServer & Partial<Pick<KernelVirtualServer, "persistencePrefix">>,
): boolean {
  const wholeAddress = addressBits(desired.address);
  return desired.scheduler === actual.scheduler && desired.persistenceSeconds === actual.persistenceSeconds &&
    desired.flags === actual.flags && (actual.persistencePrefix ?? wholeAddress) === wholeAddress;
}

/** `10.96.0.10:80/TCP` */
export function formatVirtualServer({ protocol, address, port }: VirtualServerId): string {
  return `${formatSocketAddress(address, port)}/${protocol}`;
}
