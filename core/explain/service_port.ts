import { eachInTurns, turns } from "../async/turns.ts";
import { type Address, familyOf, formatSocketAddress, socketKey } from "../net/address.ts";
import type { StoredService } from "../objects/store.ts";
import { endpointState } from "../plan/endpoint_state.ts";
import { type Candidate, joinSlices } from "../plan/endpoints.ts";
import { type Frontend, printedName, type ServicePortPlan } from "../plan/plan.ts";
import { type Client, ownAddress, sampleClients } from "./clients.ts";
import type { ClientOutcome, EndpointFacts, FrontendFacts, ServicePortFacts } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import { describeOutcome } from "./outcome.ts";
import { traceInTurns } from "./trace/tracer.ts";

/** Frontends and endpoints of a service port that are listed. */
export const MAX_FRONTENDS = 64;
const MAX_ENDPOINTS = 100;

/**
 * Describes what a service port does on this node, in turns.
 * @param candidates its endpoints before any is selected.
 * @param maxEndpoints endpoints that an explanation has room for.
 */
export async function servicePortFacts(
  knowledge: Knowledge,
  plan: ServicePortPlan,
  candidates: readonly Candidate[],
  maxEndpoints: number,
): Promise<ServicePortFacts> {
  const clients = sampleClients(knowledge, plan.family, plan);
  const frontends: FrontendFacts[] = [];
  for (const frontend of plan.frontends.slice(0, MAX_FRONTENDS)) {
    frontends.push(await frontendFacts(knowledge, plan, frontend, clients));
  }
  const shown = candidates.slice(0, Math.min(MAX_ENDPOINTS, maxEndpoints));
  const used = await usedAmong(shown, plan);
  return {
    name: printedName(plan),
    protocol: plan.protocol,
    family: plan.family,
    frontends,
    moreFrontends: plan.frontends.length - frontends.length,
    endpoints: shown.map((candidate) => endpointFacts(candidate, used)),
    moreEndpoints: candidates.length - shown.length,
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

async function frontendFacts(
  knowledge: Knowledge,
  plan: ServicePortPlan,
  frontend: Frontend,
  clients: readonly Client[],
): Promise<FrontendFacts> {
  const text = frontend.kind === "NodePort"
    ? `node port ${frontend.port}`
    : formatSocketAddress(frontend.address, frontend.port);
  const destination = destinationOf(knowledge, plan, frontend);
  const outcomes: ClientOutcome[] = [];
  if (destination !== undefined) {
    for (const client of clients) {
      if (turns.isOver) await turns.next();
      outcomes.push(await outcomeFor(knowledge, plan, client, { address: destination, port: frontend.port }));
    }
  }
  return { frontend: text, kind: frontend.kind, outcomes: joined(outcomes) };
}

async function outcomeFor(
  knowledge: Knowledge,
  plan: ServicePortPlan,
  client: Client,
  { address, port }: { readonly address: Address; readonly port: number },
): Promise<ClientOutcome> {
  const { outcome } = await traceInTurns(knowledge.traced, {
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

/** Socket keys of the endpoints that the plan selects. */
async function usedAmong(
  candidates: readonly Candidate[],
  { clusterEndpoints, localEndpoints }: ServicePortPlan,
): Promise<ReadonlySet<string>> {
  const shown = new Set(candidates.map(({ endpoint: { address, port } }) => socketKey(address, port)));
  const used = new Set<string>();
  for (const endpoints of [clusterEndpoints, localEndpoints]) {
    await eachInTurns(endpoints, ({ address, port }) => {
      const key = socketKey(address, port);
      if (shown.has(key)) used.add(key);
    });
  }
  return used;
}

function endpointFacts({ endpoint, traits }: Candidate, used: ReadonlySet<string>): EndpointFacts {
  const { address, port, isLocal } = endpoint;
  return {
    endpoint: formatSocketAddress(address, port),
    state: endpointState(traits),
    node: traits.nodeName,
    isLocal,
    isUsed: used.has(socketKey(address, port)),
  };
}
