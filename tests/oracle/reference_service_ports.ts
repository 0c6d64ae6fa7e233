import ipaddr from "ipaddr.js";
import type { RawProtocol, RawService } from "./raw_objects.ts";

export type Family = "IPv4" | "IPv6";

/** A service port, with one field per row of the table of docs/behaviour.md §2. */
export interface ServicePort {
  readonly name: string;
  readonly created: string;
  readonly service: RawService;
  readonly portName: string;
  readonly protocol: RawProtocol;
  readonly port: number;
  readonly nodePort: number;
  readonly clusterIP: string;
  readonly externalIPs: readonly string[];
  readonly lbVIPs: readonly string[];
  readonly ranges: readonly string[];
  readonly affinity: number;
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
}

/** Service ports of a Service: docs/behaviour.md §1.2 and §2. */
export function servicePorts(service: RawService, family: Family): ServicePort[] {
  const { metadata, spec, status } = service;
  if (metadata.labels !== undefined && "service.kubernetes.io/service-proxy-name" in metadata.labels) {
    return [];
  }
  if (spec.type === "ExternalName" || !spec.clusterIP || spec.clusterIP === "None") return [];
  const index = spec.ipFamilies?.indexOf(family);
  const clusterIP = index === undefined ? spec.clusterIP : spec.clusterIPs?.[index];
  if (clusterIP === undefined || familyOf(clusterIP) !== family) return [];

  // The ClusterIP as an external address of its own service makes nothing else accessible.
  const own = (addresses: readonly string[]) =>
    addresses.filter((address) =>
      ipaddr.isValid(address) && familyOf(address) === family && address !== clusterIP
    );
  const ingress = status?.loadBalancer.ingress ?? [];
  const external = spec.type === "NodePort" || spec.type === "LoadBalancer" ||
    (spec.externalIPs ?? []).length > 0;
  return spec.ports.map((port) => ({
    name: `${metadata.namespace ?? "default"}/${metadata.name}${port.name ? `:${port.name}` : ""}`,
    created: metadata.creationTimestamp ?? "",
    service,
    portName: port.name ?? "",
    protocol: port.protocol ?? "TCP",
    port: port.port,
    nodePort: port.nodePort ?? 0,
    clusterIP,
    externalIPs: own(spec.externalIPs ?? []),
    lbVIPs: own(ingress.flatMap(({ ip, ipMode }) => ip !== undefined && ipMode !== "Proxy" ? [ip] : [])),
    ranges: (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim())
      .filter((range) => familyOf(range) === family),
    affinity: spec.sessionAffinity === "ClientIP"
      ? spec.sessionAffinityConfig?.clientIP.timeoutSeconds ?? 10800
      : 0,
    externalLocal: spec.externalTrafficPolicy === "Local" && external,
    internalLocal: spec.internalTrafficPolicy === "Local",
  }));
}

export function serviceOf({ service }: ServicePort): string {
  return `${service.metadata.namespace ?? "default"}/${service.metadata.name}`;
}

export function familyOf(addressOrCidr: string): Family {
  return addressOrCidr.includes(":") ? "IPv6" : "IPv4";
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
