import { type Address, addressBits, formatSocketAddress } from "../../../core/net/address.ts";
import type { Family, Protocol } from "../../../core/net/protocol.ts";

/** Which virtual server it is. */
export interface VirtualServerId {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
}

/** What IPVS balances, as `ipvsadm -A` makes it. Family, protocol, address and port say which one it is. */
export interface VirtualServer extends VirtualServerId {
  /** Name of the kernel's module without `ip_vs_`. */
  readonly scheduler: string;
  /** How long a client stays with its real server; 0 for no persistence. */
  readonly persistenceSeconds: number;
  /** Of the scheduler: IP_VS_SVC_F_SCHED1 to 3. Whether it is persistent follows from `persistenceSeconds`. */
  readonly flags: number;
}

/** Where IPVS sends connections of a virtual server, by masquerading (NAT). Address and port say which one it is. */
export interface RealServer {
  readonly address: Address;
  readonly port: number;
  /** Share of the new connections; 0 for none, while those there are go on. */
  readonly weight: number;
}

/** What went through a virtual server since it was added, as the kernel last summed it up: every two seconds. */
export interface ServerTraffic {
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A virtual server as the kernel has it. */
export interface FoundVirtualServer extends VirtualServer {
  /** Clients that share this many bits of their address share a real server while persistence lasts; ours never do. */
  readonly persistencePrefix: number;
  readonly traffic: ServerTraffic;
}

/** A real server as the kernel has it. */
export interface FoundRealServer extends RealServer {
  /** Otherwise it was added by someone who lets its replies bypass this node. */
  readonly isMasqueraded: boolean;
  /** Connections that are established. */
  readonly active: number;
  /** All others that are remembered: opening, closing, and those of UDP that go one way. */
  readonly inactive: number;
  /** Clients that are to come back to it (templates of persistence). */
  readonly persistent: number;
}

/** For maps: one string for what is one virtual server, whatever its settings. */
export function virtualServerKey({ protocol, address, port }: VirtualServerId): string {
  return protocol + String.fromCharCode(port >> 8, port & 0xff) + address;
}

/** For maps: one string for what is one real server of a virtual server, whatever its weight. */
export function realServerKey({ address, port }: Pick<RealServer, "address" | "port">): string {
  return String.fromCharCode(port >> 8, port & 0xff) + address;
}

/** Whether the virtual server that was planned or found does what this one is to do. */
export function sameVirtualServer(
  wanted: VirtualServer,
  found: VirtualServer & Partial<Pick<FoundVirtualServer, "persistencePrefix">>,
): boolean {
  const ours = addressBits(wanted.address);
  return wanted.scheduler === found.scheduler && wanted.persistenceSeconds === found.persistenceSeconds &&
    wanted.flags === found.flags && (found.persistencePrefix ?? ours) === ours;
}

/** `10.96.0.10:80/TCP` */
export function formatVirtualServer({ protocol, address, port }: VirtualServerId): string {
  return `${formatSocketAddress(address, port)}/${protocol}`;
}
