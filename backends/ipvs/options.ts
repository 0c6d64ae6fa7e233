import type { OptionSource } from "../../core/backend/mode.ts";
import type { Cidr } from "../../core/net/address.ts";

/** Options of mode ipvs (docs/behaviour.md §9.2). */
export interface IpvsOptions {
  /** Scheduler of all virtual servers: name of the kernel module without `ip_vs_`; "" for rr. */
  readonly scheduler: string;
  /** Virtual servers of these addresses that no service has belong to other programs: they stay. */
  readonly excludeCidrs: readonly Cidr[];
  /** Interfaces answer ARP requests for their own addresses only. */
  readonly strictArp: boolean;
  /**
   * Local traffic policies without an endpoint on this node use the endpoints of other nodes (docs/ipvs.md).
   */
  readonly localFallback: boolean;
  /** How long IPVS remembers idle connections; 0 keeps the kernel's value. */
  readonly tcpTimeoutMs: number;
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
}

/** Reads the section `ipvs` of the document. */
export function readIpvsOptions({ document: { ipvs }, read }: OptionSource): IpvsOptions {
  const timeout = (field: "tcpTimeout" | "tcpFinTimeout" | "udpTimeout") =>
    read.duration(`ipvs.${field}`, ipvs[field], "zero");
  return {
    scheduler: ipvs.scheduler,
    excludeCidrs: read.cidrs("ipvs.excludeCIDRs", ipvs.excludeCIDRs),
    strictArp: ipvs.strictARP,
    localFallback: ipvs.localFallback,
    tcpTimeoutMs: timeout("tcpTimeout"),
    tcpFinTimeoutMs: timeout("tcpFinTimeout"),
    udpTimeoutMs: timeout("udpTimeout"),
  };
}
