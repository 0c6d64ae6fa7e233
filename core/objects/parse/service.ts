import {
  type Address,
  type Cidr,
  familyOf,
  formatAddress,
  isBroadcast,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
  parseCidr,
} from "../../net/address.ts";
import {
  A_PORT,
  choice,
  integer,
  InvalidField,
  list,
  type Mapping,
  mappings,
  port,
  section,
  show,
  text,
  texts,
} from "./fields.ts";
import { readPortName } from "./names.ts";
import { FAMILIES, PROTOCOLS } from "../../net/protocol.ts";
import {
  DEFAULT_WEIGHT,
  type ObjectRef,
  type Service,
  type ServicePort,
  type TrafficPolicy,
} from "../objects.ts";
import { createdOf, hasLabel, type NotProxied, type Report } from "./kind.ts";
import { balancingOf, wantsProxyProtocol, weightOf } from "./annotations.ts";
import { Pool, sharedText } from "./interning.ts";
import { checkSize } from "./service_size.ts";

/** Parses a v1 Service: docs/behaviour.md §1.2 (which are proxied) and §2 (how fields are read). */
export function parseService(raw: Mapping, ref: ObjectRef, report: Report): Service | NotProxied {
  if (hasLabel(raw, PROXY_NAME_LABEL)) return { why: `it has the label ${PROXY_NAME_LABEL}` };
  const created = createdOf(raw);
  const loadBalancerIPs = readLoadBalancerIPs(raw, report);
  const weight = weightOf(raw, report) ?? DEFAULT_WEIGHT;
  const balancing = balancingOf(raw, report);
  const proxyProtocol = wantsProxyProtocol(raw, report);
  return section(raw, "spec", (spec) => {
    const type = choice(spec, "type", SERVICE_TYPES, "ClusterIP");
    if (type === "ExternalName") return { why: "it is of type ExternalName" };
    const assigned = assignedClusterIPs(spec);
    if (assigned[0] === "None") return { why: "it is headless (clusterIP None)" };
    const clusterIPs = readClusterIPs(spec, assigned);
    if (clusterIPs.length === 0) return { why: "it has no cluster IP" };
    const externalTrafficPolicy = readExternalPolicy(spec, type);
    const ports = readPorts(spec);
    const externalIPs = readExternalIPs(spec, report);
    const sourceRanges = readSourceRanges(spec);
    checkSize({ ports, clusterIPs, externalIPs, loadBalancerIPs, sourceRanges });
    return {
      kind: "Service",
      namespace: ref.namespace,
      name: ref.name,
      created,
      clusterIPs,
      ports,
      externalIPs,
      loadBalancerIPs,
      loadBalancerSourceRanges: sourceRanges,
      affinitySeconds: readAffinity(spec),
      externalTrafficPolicy,
      internalTrafficPolicy: choice(spec, "internalTrafficPolicy", POLICIES, "Cluster"),
      healthCheckNodePort: type === "LoadBalancer" && externalTrafficPolicy === "Local"
        ? readHealthCheckNodePort(spec, report)
        : 0,
      weight,
      balancing,
      ...(proxyProtocol ? { proxyProtocol } : {}),
    };
  });
}

const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";

type ServiceType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
const SERVICE_TYPES: readonly ServiceType[] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
const POLICIES: readonly TrafficPolicy[] = ["Cluster", "Local"];

/**
 * Reads spec.clusterIPs as text. The API server fills it from spec.clusterIP when it is missing, as done
 * here.
 */
function assignedClusterIPs(spec: Mapping): readonly string[] {
  const first = text(spec, "clusterIP");
  const all = texts(spec, "clusterIPs", (address) => address);
  if (all.length === 0) return first === "" ? [] : [first];
  if (first !== "" && first !== all[0]) {
    throw new InvalidField("clusterIP", `${show(first)} differs from clusterIPs[0], ${show(all[0])}`);
  }
  return all;
}

/**
 * Returns at most one cluster IP per family. spec.ipFamilies names the families of spec.clusterIPs in order;
 * an address beyond that list does not count. Without ipFamilies each address counts for its own family.
 */
function readClusterIPs(spec: Mapping, assigned: readonly string[]): readonly Address[] {
  const listed = texts(spec, "ipFamilies", (family) => {
    const known = FAMILIES.find((one) => one === family);
    if (known === undefined) throw new InvalidField("", `${show(family)} is neither IPv4 nor IPv6`);
    return known;
  });
  const clusterIPs: Address[] = [];
  for (const [index, written] of assigned.entries()) {
    const path = list(spec, "clusterIPs").length === 0 ? "clusterIP" : `clusterIPs[${index}]`;
    if (written === "" && assigned.length === 1) break;
    const address = parseAddress(written);
    if (address === undefined) throw new InvalidField(path, `${show(written)} is not an IP address`);
    const problem = isLinkLocal(address) ? undefined : special(address);
    if (problem !== undefined) throw new InvalidField(path, `${show(written)} is ${problem}`);
    if (listed.length > 0 && index >= listed.length) break;
    const family = familyOf(address);
    if (listed.length > 0 && listed[index] !== family) {
      throw new InvalidField(
        path,
        `${formatAddress(address)} is not of family ${listed[index]} (ipFamilies)`,
      );
    }
    if (clusterIPs.some((other) => familyOf(other) === family)) {
      throw new InvalidField(path, `${formatAddress(address)} is a second ${family} address; one per family`);
    }
    clusterIPs.push(address);
  }
  return clusterIPs;
}

const knownPorts = new Pool<readonly ServicePort[]>();

function readPorts(spec: Mapping): readonly ServicePort[] {
  const seen = new Set<string>();
  const ports = mappings(spec, "ports", (entry): ServicePort => {
    const name = sharedText(readPortName(entry, "name"));
    const protocol = choice(entry, "protocol", PROTOCOLS, "TCP");
    const identity = `${name}/${protocol}`;
    if (seen.has(identity)) {
      throw new InvalidField("name", `${show(name)} names a second ${protocol} port; give each its own name`);
    }
    seen.add(identity);
    return {
      name,
      protocol,
      port: integer(entry, "port", { min: 1, max: 65535, what: A_PORT }),
      nodePort: port(entry, "nodePort"),
    };
  });
  if (ports.length === 0) throw new InvalidField("ports", "missing; a Service needs at least one");
  const key = ports.map(({ name, protocol, port, nodePort }) => `${name}/${protocol}/${port}/${nodePort}`)
    .join();
  return knownPorts.share(key, () => ports);
}

function readExternalIPs(spec: Mapping, report: Report): readonly Address[] {
  return texts(
    spec,
    "externalIPs",
    (written, index) => readExternalAddress(written, `spec.externalIPs[${index}]`, report),
  );
}

/**
 * Skips addresses that no service may have, because whoever may create a Service would take traffic of the node
 * itself with them. The API server validates external IPs, but a manifest and the status of a load balancer may
 * have any address.
 */
function readExternalAddress(written: string, path: string, report: Report): Address | undefined {
  const address = parseAddress(written);
  const problem = address === undefined ? "not an IP address" : special(address);
  if (problem === undefined) return address;
  report(path, `${show(written)} is ${problem}; skipped`);
  return undefined;
}

function special(address: Address): string | undefined {
  if (isUnspecified(address)) return "the unspecified address";
  if (isLoopback(address)) return "a loopback address";
  if (isLinkLocal(address)) return "a link-local address";
  if (isMulticast(address)) return "a multicast address";
  return isBroadcast(address) ? "the broadcast address" : undefined;
}

/**
 * Addresses under which connections arrive at this node: entries that have an address and are not of a load
 * balancer that is a proxy itself.
 */
function readLoadBalancerIPs(raw: Mapping, report: Report): readonly Address[] {
  return section(
    raw,
    "status",
    (status) =>
      section(status, "loadBalancer", (balancer) =>
        mappings(balancer, "ingress", (ingress, index) => {
          const written = text(ingress, "ip");
          const mode = text(ingress, "ipMode");
          if (written === "" || (mode !== "" && mode !== "VIP")) return undefined;
          return readExternalAddress(written, `status.loadBalancer.ingress[${index}].ip`, report);
        })),
  );
}

/**
 * Rejects an invalid range instead of skipping it, because without any range all clients would be admitted.
 */
function readSourceRanges(spec: Mapping): readonly Cidr[] {
  return texts(spec, "loadBalancerSourceRanges", (written) => {
    const range = parseCidr(written.trim());
    if (range === undefined) {
      throw new InvalidField("", `${show(written)} is not a CIDR such as 192.0.2.0/24`);
    }
    return range;
  });
}

/** The API's default for an affinity without timeout. */
const DEFAULT_AFFINITY_SECONDS = 10_800;
/** The maximum that the API allows. */
const MAX_AFFINITY_SECONDS = 86_400;

function readAffinity(spec: Mapping): number {
  if (choice(spec, "sessionAffinity", ["None", "ClientIP"], "None") === "None") return 0;
  const what = `a number of seconds (1-${MAX_AFFINITY_SECONDS})`;
  return section(
    spec,
    "sessionAffinityConfig",
    (config) =>
      section(config, "clientIP", (clientIP) =>
        integer(clientIP, "timeoutSeconds", {
          min: 1,
          max: MAX_AFFINITY_SECONDS,
          what,
          absent: DEFAULT_AFFINITY_SECONDS,
        })),
  );
}

/** Local applies only to services that are reachable from outside: docs/behaviour.md §2, externalLocal. */
function readExternalPolicy(spec: Mapping, type: ServiceType): TrafficPolicy {
  const written = choice(spec, "externalTrafficPolicy", POLICIES, "Cluster");
  const external = type !== "ClusterIP" || list(spec, "externalIPs").length > 0;
  return external ? written : "Cluster";
}

function readHealthCheckNodePort(spec: Mapping, report: Report): number {
  const number = port(spec, "healthCheckNodePort");
  if (number === 0) {
    report("spec.healthCheckNodePort", "missing, so load balancers cannot tell which nodes have endpoints");
  }
  return number;
}
