import { type EndpointState, endpointState } from "../plan/endpoint_state.ts";
import type { EndpointSlice } from "../objects/objects.ts";
import type { StoredService } from "../objects/store.ts";
import type { Candidate } from "../plan/endpoints.ts";
import { printedName, type ServicePortPlan } from "../plan/plan.ts";
import type { Finding } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";

/** A service port that findings are about. */
export interface ExaminedPort {
  readonly stored: StoredService;
  readonly plan: ServicePortPlan;
  /** Its endpoints before any is selected. */
  readonly candidates: readonly Candidate[];
}

/** Findings about the endpoints of a service port: which there are, and which of them get connections. */
export function* endpointFindings(
  knowledge: Knowledge,
  { stored, plan, candidates }: ExaminedPort,
): Generator<Finding> {
  const about = `${printedName(plan)} (${plan.family})`;
  if (candidates.length === 0) {
    yield { severity: "problem", about, ...whyNone(stored, plan) };
    return;
  }
  const count = (state: EndpointState) =>
    candidates.filter(({ traits }) => endpointState(traits) === state).length;
  const ready = count("ready");
  const [gone, all] = [count("terminating, still serving"), candidates.length];
  if (ready === 0 && gone === 0) {
    yield {
      cause: "endpoints-not-ready",
      severity: "problem",
      about,
      text: `None of its ${pods(all)} is ready, so connections are rejected.`,
      advice: `Find out why the readiness probes fail: ${describePods(plan)}`,
    };
    return;
  }
  if (ready === 0) {
    yield {
      cause: "only-terminating-endpoints",
      severity: "problem",
      about,
      text:
        `No endpoint is ready. Its ${gone} that are terminating and still serve get the connections, until they end.`,
      advice: `Find out why no new pod becomes ready: ${describePods(plan)}`,
    };
  } else if (ready < all) {
    yield {
      cause: "some-endpoints-not-ready",
      severity: "notice",
      about,
      text: `${all - ready} of its ${pods(all)} get no new connections: ${statesOf(candidates)}.`,
      advice: "",
    };
  }
  yield* policyFindings(knowledge, plan, about);
  yield* topologyFindings(knowledge, plan, about, ready);
}

/** Why a service port has no endpoint at all. */
function whyNone(
  { slices }: StoredService,
  plan: ServicePortPlan,
): Pick<Finding, "cause" | "text" | "advice"> {
  const ofFamily = slices.filter(({ family }) => family === plan.family);
  const list = `kubectl -n ${plan.namespace} get endpointslices -l kubernetes.io/service-name=${plan.name}`;
  if (slices.length === 0) {
    return {
      cause: "no-slices",
      text: "No EndpointSlice belongs to it, so connections are rejected.",
      advice: `Compare its selector with the labels of the pods: kubectl -n ${plan.namespace} get service ` +
        `${plan.name} -o wide. A Service without a selector needs EndpointSlices with the label ` +
        `kubernetes.io/service-name=${plan.name}`,
    };
  }
  if (ofFamily.length === 0) {
    return {
      cause: "no-slices-of-family",
      text:
        `None of its EndpointSlices is of family ${plan.family}, so ${plan.family} connections are rejected.`,
      advice: `Check whether its pods have ${plan.family} addresses: ${list}`,
    };
  }
  const lists = ofFamily.filter(({ endpoints }) => endpoints.length > 0);
  if (lists.length > 0) {
    return {
      cause: "port-not-in-slices",
      text: `Its EndpointSlices have endpoints, but no port named ${
        JSON.stringify(plan.portName)
      } with protocol ${plan.protocol}; they have ${portsOf(lists)}. Connections are rejected.`,
      advice: "Make the name and the protocol of the Service's port those of the EndpointSlices. If " +
        "targetPort is a name, the containers must have a port of this name",
    };
  }
  return {
    cause: "no-endpoints",
    text: "Its EndpointSlices list no endpoint, so connections are rejected.",
    advice: `Find out whether pods run that match its selector: kubectl -n ${plan.namespace} get service ` +
      `${plan.name} -o wide`,
  };
}

/** Policies Local without endpoints on this node. */
function* policyFindings(
  { context }: Knowledge,
  plan: ServicePortPlan,
  about: string,
): Generator<Finding> {
  if (plan.localEndpoints.length > 0) return;
  if (plan.internal.verdict === "drop") {
    yield {
      cause: "no-local-endpoints",
      severity: "problem",
      about,
      text: `internalTrafficPolicy is Local and no endpoint of it runs on node ${context.nodeName}, so ` +
        "connections from this node to the ClusterIP are dropped.",
      advice: "Run a pod on every node that uses it (a DaemonSet), or set internalTrafficPolicy to Cluster",
    };
  }
  if (plan.external.verdict === "local-external") {
    yield {
      cause: "no-local-endpoints-for-outside",
      severity: "problem",
      about,
      text: `externalTrafficPolicy is Local and no endpoint of it runs on node ${context.nodeName}, so ` +
        "connections from outside that arrive at this node are dropped.",
      advice: "Send clients to nodes with endpoints, as load balancers do that ask the health-check node " +
        "port, or set externalTrafficPolicy to Cluster",
    };
  }
}

/** Topology hints that keep ready endpoints from getting connections of this node. */
function* topologyFindings(
  { context }: Knowledge,
  plan: ServicePortPlan,
  about: string,
  ready: number,
): Generator<Finding> {
  const used = plan.clusterEndpoints.length;
  if (used === 0 || used >= ready) return;
  yield {
    cause: "topology-hints",
    severity: "notice",
    about,
    text: `Topology hints send connections of this node to ${used} of its ${ready} ready endpoints: those ` +
      `for ${context.zone === "" ? "" : `zone ${context.zone} or `}node ${context.nodeName}.`,
    advice: "",
  };
}

function statesOf(candidates: readonly Candidate[]): string {
  const counts = new Map<string, number>();
  for (const candidate of candidates) {
    const state = endpointState(candidate.traits);
    if (state !== "ready") counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}

function portsOf(slices: readonly EndpointSlice[]): string {
  const ports = new Set(
    slices.flatMap(({ ports }) => ports.map(({ name, protocol }) => `${JSON.stringify(name)}/${protocol}`)),
  );
  return ports.size === 0 ? "no ports" : [...ports].slice(0, MAX_LISTED).join(", ");
}

/** Ports that a message lists. */
const MAX_LISTED = 8;

function pods(count: number): string {
  return count === 1 ? "1 endpoint" : `${count} endpoints`;
}

function describePods({ namespace, name }: ServicePortPlan): string {
  return `kubectl -n ${namespace} get endpointslices -l kubernetes.io/service-name=${name} -o yaml names the pods`;
}
