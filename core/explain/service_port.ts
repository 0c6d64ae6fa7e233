import { type Address, familyOf, formatSocketAddress } from "../net/address.ts";
import type { StoredService } from "../objects/store.ts";
import { endpointState } from "../plan/endpoint_state.ts";
import { type Candidate, joinSlices } from "../plan/endpoints.ts";
import { type Frontend, printedName, type ServicePortPlan } from "../plan/plan.ts";
import { type Client, ownAddress, sampleClients } from "./clients.ts";
import type { ClientOutcome, EndpointFacts, FrontendFacts, ServicePortFacts } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import { describeOutcome } from "./outcome.ts";
import { traceConnection } from "./trace/tracer.ts";

/** Describes what a service port does on this node. */
export function servicePortFacts(
  knowledge: Knowledge,
  stored: StoredService,
  plan: ServicePortPlan,
): ServicePortFacts {
  return {
    name: printedName(plan),
    protocol: plan.protocol,
    family: plan.family,
    frontends: plan.frontends.map((frontend) => frontendFacts(knowledge, plan, frontend)),
    endpoints: candidatesOf(knowledge, stored, plan).map((candidate) => endpointFacts(candidate, plan)),
  };
}

/** Endpoints of the service port before any is selected. */
export function candidatesOf(
  { context }: Knowledge,
  { slices }: StoredService,
  plan: ServicePortPlan,
): readonly Candidate[] {
  const port = { name: plan.portName, protocol: plan.protocol };
  return joinSlices(slices, port, plan.family, context.nodeName);
}

/** The address where a client reaches the frontend; undefined for a node port that answers on no address. */
export function destinationOf(
  { traced }: Pick<Knowledge, "traced">,
  { family }: ServicePortPlan,
  frontend: Frontend,
): Address | undefined {
  if (frontend.kind !== "NodePort") return frontend.address;
  const settings = traced.settings.find((one) => one.family === family);
  if (settings === undefined) return undefined;
  const candidates = settings.nodePorts === "all" ? traced.addresses : settings.nodePorts;
  const here = candidates.filter((one) => traced.addresses.includes(one) && familyOf(one) === family);
  return ownAddress(here, family) ?? here[0];
}

function frontendFacts(knowledge: Knowledge, plan: ServicePortPlan, frontend: Frontend): FrontendFacts {
  const text = frontend.kind === "NodePort"
    ? `node port ${frontend.port}`
    : formatSocketAddress(frontend.address, frontend.port);
  const destination = destinationOf(knowledge, plan, frontend);
  const outcomes = destination === undefined ? [] : sampleClients(knowledge, plan.family, plan)
    .map((client) => outcomeFor(knowledge, plan, client, { address: destination, port: frontend.port }));
  return { frontend: text, kind: frontend.kind, outcomes: joined(outcomes) };
}

function outcomeFor(
  knowledge: Knowledge,
  plan: ServicePortPlan,
  client: Client,
  { address, port }: { readonly address: Address; readonly port: number },
): ClientOutcome {
  const { outcome } = traceConnection(knowledge.traced, {
    source: client.source,
    incoming: client.incoming,
    destination: address,
    protocol: plan.protocol,
    port,
  });
  return { clients: [client.kind], verdict: outcome.verdict, outcome: describeOutcome(outcome) };
}

/** Joins clients with the same outcome. */
function joined(outcomes: readonly ClientOutcome[]): readonly ClientOutcome[] {
  const groups: ClientOutcome[] = [];
  for (const outcome of outcomes) {
    const index = groups.findIndex((group) => group.outcome === outcome.outcome);
    const group = groups[index];
    if (group === undefined) groups.push(outcome);
    else groups[index] = { ...group, clients: [...group.clients, ...outcome.clients] };
  }
  return groups;
}

function endpointFacts(candidate: Candidate, plan: ServicePortPlan): EndpointFacts {
  const { endpoint: { address, port, isLocal }, traits } = candidate;
  const isSame = (other: { readonly address: Address; readonly port: number }) =>
    other.address === address && other.port === port;
  return {
    endpoint: formatSocketAddress(address, port),
    state: endpointState(traits),
    node: traits.nodeName,
    isLocal,
    isUsed: plan.clusterEndpoints.some(isSame) || plan.localEndpoints.some(isSame),
  };
}
