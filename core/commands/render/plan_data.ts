import { formatAddress, formatCidr } from "../../net/address.ts";
import {
  type DesiredState,
  type Endpoint,
  type Frontend,
  type LocalTraffic,
  type NodeSettings,
  printedName,
  type ServicePortPlan,
} from "../../plan/plan.ts";

/** The desired state as data of JSON: addresses as text, and service ports in the order of their keys. */
export function planData(nodeName: string, mode: string, { settings, plans }: DesiredState): object {
  const sorted = [...plans.values()].sort((a, b) => a.key < b.key ? -1 : 1);
  return { node: nodeName, mode, families: settings.map(familyData), servicePorts: sorted.map(portData) };
}

function familyData(settings: NodeSettings): object {
  const { family, localTraffic, masqueradeAll, masqueradeMark, nodePorts, serviceCidrs } = settings;
  return {
    family,
    localTraffic: localTrafficData(localTraffic),
    masqueradeAll,
    masqueradeMark,
    nodePortAddresses: nodePorts === "all" ? "all" : nodePorts.map(formatAddress),
    localhostNodePorts: settings.localhostNodePorts,
    serviceCidrs: serviceCidrs.map(formatCidr),
  };
}

function localTrafficData(localTraffic: LocalTraffic): object {
  return localTraffic.mode === "cidr" ? { mode: "cidr", cidr: formatCidr(localTraffic.cidr) } : localTraffic;
}

function portData(plan: ServicePortPlan): object {
  const { family, protocol, frontends, internal, external, sourceRanges, healthCheckNodePort } = plan;
  return {
    servicePort: printedName(plan),
    family,
    protocol,
    frontends: frontends.map(frontendData),
    internal,
    external,
    clusterEndpoints: plan.clusterEndpoints.map(endpointData),
    localEndpoints: plan.localEndpoints.map(endpointData),
    servingEndpoints: plan.servingEndpoints.map(endpointData),
    affinitySeconds: plan.affinitySeconds,
    ...(plan.balancing === undefined ? {} : { balancing: plan.balancing }),
    ...(plan.proxyProtocol === undefined ? {} : { proxyProtocol: "v2" }),
    ...(sourceRanges === undefined ? {} : { sourceRanges: sourceRanges.map(formatCidr) }),
    ...(healthCheckNodePort === 0 ? {} : { healthCheckNodePort }),
  };
}

function frontendData(frontend: Frontend): object {
  return frontend.kind === "NodePort" ? frontend : { ...frontend, address: formatAddress(frontend.address) };
}

function endpointData({ address, ...endpoint }: Endpoint): object {
  return { address: formatAddress(address), ...endpoint };
}
