import { sameCidr } from "../net/address.ts";
import type {
  EndpointSlice,
  EndpointTraits,
  Node,
  Service,
  ServicePort,
  SliceEndpoint,
  SlicePort,
} from "./objects.ts";

/** Equality by value, because a list after a reconnect repeats objects that did not change. */

export function sameService(a: Service, b: Service): boolean {
  return a.created === b.created &&
    a.affinitySeconds === b.affinitySeconds &&
    a.externalTrafficPolicy === b.externalTrafficPolicy &&
    a.internalTrafficPolicy === b.internalTrafficPolicy &&
    a.healthCheckNodePort === b.healthCheckNodePort &&
    a.weight === b.weight &&
    a.balancing === b.balancing &&
    a.proxyProtocol === b.proxyProtocol &&
    sameList(a.clusterIPs, b.clusterIPs, same) &&
    sameList(a.ports, b.ports, sameServicePort) &&
    sameList(a.externalIPs, b.externalIPs, same) &&
    sameList(a.loadBalancerIPs, b.loadBalancerIPs, same) &&
    sameList(a.loadBalancerSourceRanges, b.loadBalancerSourceRanges, sameCidr);
}

/** Ignores the trigger time, which says when something changed, not what. */
export function sameSlice(a: EndpointSlice, b: EndpointSlice): boolean {
  return a.service === b.service &&
    a.family === b.family &&
    a.weight === b.weight &&
    sameList(a.ports, b.ports, sameSlicePort) &&
    sameList(a.endpoints, b.endpoints, sameSliceEndpoint);
}

export function sameNode(a: Node, b: Node): boolean {
  return a.name === b.name &&
    a.zone === b.zone &&
    a.eligible === b.eligible &&
    sameList(a.addresses, b.addresses, same) &&
    sameList(a.podCidrs, b.podCidrs, sameCidr);
}

function sameServicePort(a: ServicePort, b: ServicePort): boolean {
  return sameSlicePort(a, b) && a.nodePort === b.nodePort;
}

function sameSlicePort(a: SlicePort, b: SlicePort): boolean {
  return a.name === b.name && a.protocol === b.protocol && a.port === b.port;
}

function sameSliceEndpoint(a: SliceEndpoint, b: SliceEndpoint): boolean {
  return a.address === b.address && sameTraits(a.traits, b.traits);
}

function sameTraits(a: EndpointTraits, b: EndpointTraits): boolean {
  return a === b || (
    a.ready === b.ready &&
    a.serving === b.serving &&
    a.terminating === b.terminating &&
    a.nodeName === b.nodeName &&
    a.zone === b.zone &&
    sameList(a.zoneHints, b.zoneHints, same) &&
    sameList(a.nodeHints, b.nodeHints, same)
  );
}

function same(a: string, b: string): boolean {
  return a === b;
}

/** Reports whether both lists have equal elements in the same order. */
export function sameList<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  return a.every((one, index) => {
    const other = b[index];
    return other !== undefined && same(one, other);
  });
}
