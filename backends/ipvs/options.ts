import type { Cidr } from "../../core/net/address.ts";

/** What can be chosen of mode ipvs (docs/behaviour.md §9.2). */
export interface IpvsOptions {
  /** Of all virtual servers: name of the kernel's module without `ip_vs_`; "" for rr. */
  readonly scheduler: string;
  /** Virtual servers of these addresses that no service has are someone else's: they stay. */
  readonly excludeCidrs: readonly Cidr[];
  /** Interfaces answer ARP requests for their own addresses only. */
  readonly strictArp: boolean;
  /** Local traffic policies that find no endpoint on this node use those of other nodes (docs/ipvs.md). */
  readonly localFallback: boolean;
  /** How long IPVS remembers idle connections; 0 leaves the kernel's value alone. */
  readonly tcpTimeoutMs: number;
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
}
