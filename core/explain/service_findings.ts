import { eachInTurns } from "../async/turns.ts";
import { contains, formatAddress, formatCidr } from "../net/address.ts";
import { NearestName } from "../config/flags/suggest.ts";
import type { StoredService } from "../objects/store.ts";
import { printedName, type ServicePortPlan } from "../plan/plan.ts";
import { type Client, ofFamily } from "./clients.ts";
import { endpointFindings, type ExaminedPort } from "./endpoint_findings.ts";
import type { Finding } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import { listed } from "./listed.ts";
import { destinationOf } from "./service_port.ts";

/**
 * Findings about a Service that the proxy serves, as a whole.
 * @param plans those of its plans that the question is about.
 * @param clients the client that is asked about, with one address of each family that it has; undefined for all clients.
 */
export function* serviceFindings(
  knowledge: Knowledge,
  stored: StoredService,
  plans: readonly ServicePortPlan[],
  clients: readonly Client[] | undefined,
): Generator<Finding> {
  const { namespace, name } = stored.service;
  const invalid = invalidFinding(knowledge, `${namespace}/${name}`);
  if (invalid !== undefined) yield invalid;
  yield* familyFindings(`${namespace}/${name}`, plans, clients);
  for (const text of knowledge.conflictsOf(`${namespace}/${name}`)) {
    yield {
      cause: "claimed-by-another-service",
      severity: "problem",
      about: `Service ${namespace}/${name}`,
      text: `${text}.`,
      advice: "Give one of the two Services another address or another port",
    };
  }
}

/** Findings about one of its service ports. */
export function* servicePortFindings(
  knowledge: Knowledge,
  port: ExaminedPort,
  clients: readonly Client[] | undefined,
): Generator<Finding> {
  const { plan } = port;
  yield* limitationFindings(knowledge, plan);
  yield* endpointFindings(knowledge, port);
  yield* sourceRangeFindings(plan, clients);
  yield* nodePortFindings(knowledge, plan);
}

/** Says why the proxy does not serve a Service. */
export async function missingServiceFinding(
  knowledge: Pick<Knowledge, "unused" | "store" | "invalidReasonOf">,
  namespace: string,
  name: string,
): Promise<Finding> {
  const { unused, store } = knowledge;
  const service = `${namespace}/${name}`;
  const about = `Service ${service}`;
  const invalid = invalidFinding(knowledge, service);
  if (invalid !== undefined) return invalid;
  const why = unused?.get(service);
  if (why !== undefined) {
    return {
      cause: "not-proxied",
      severity: "notice",
      about,
      text: `This proxy does not serve it: ${why}.`,
      advice: "",
    };
  }
  return {
    cause: "unknown-service",
    severity: "problem",
    about,
    text: unused === undefined
      ? "The proxy knows no such Service: it does not exist, or needs no proxy (headless, ExternalName)."
      : "There is no such Service.",
    advice: await suggestion([store.serviceNames(), unused?.keys() ?? []], service, name),
  };
}

function invalidFinding(
  { store, invalidReasonOf }: Pick<Knowledge, "store" | "invalidReasonOf">,
  service: string,
): Finding | undefined {
  const why = invalidReasonOf(service);
  if (why === undefined) return undefined;
  const isKept = store.get(service) !== undefined;
  return {
    cause: "invalid-service",
    severity: "problem",
    about: `Service ${service}`,
    text: isKept
      ? `The object is invalid: ${why}. The version before it stays in force.`
      : `The object is invalid and not used: ${why}.`,
    advice: "Correct the object",
  };
}

/** Looks for the Service that was meant: one of this name in another namespace, or one of a similar name. */
async function suggestion(
  lists: readonly Iterable<string>[],
  service: string,
  name: string,
): Promise<string> {
  const sameName: string[] = [];
  const similar = new NearestName(service);
  for (const names of lists) {
    await eachInTurns(names, (other) => {
      if (other.endsWith(`/${name}`)) sameName.push(other);
      else if (sameName.length === 0) similar.consider(other);
    });
  }
  if (sameName.length > 0) return `Did you mean ${sameName.slice(0, MAX_SUGGESTIONS).join(" or ")}?`;
  return similar.found === undefined ? "kubectl get services -A lists all" : `Did you mean ${similar.found}?`;
}

const MAX_SUGGESTIONS = 3;

/** Findings about what the mode does not serve. */
function* limitationFindings(knowledge: Knowledge, plan: ServicePortPlan): Generator<Finding> {
  for (const { cause, text, advice } of knowledge.limitationsOf(plan)) {
    yield {
      cause,
      severity: "problem",
      about: `${printedName(plan)} (${plan.family})`,
      text: `${text}.`,
      advice,
    };
  }
}

/** A client that has no address of a family of the Service. */
function* familyFindings(
  service: string,
  plans: readonly ServicePortPlan[],
  clients: readonly Client[] | undefined,
): Generator<Finding> {
  if (clients === undefined || plans.some(({ family }) => ofFamily(clients, family) !== undefined)) return;
  const families = [...new Set(plans.map(({ family }) => family))].join(" and ");
  const addresses = clients.map(({ source }) => formatAddress(source)).join(" and ");
  yield {
    cause: "client-of-other-family",
    severity: "problem",
    about: `Service ${service}`,
    text:
      `It has ${families} addresses only, and the client's address ${addresses} is of the other family. ` +
      "No connection of the client can reach it.",
    advice:
      "Give the Service both families (spec.ipFamilyPolicy: PreferDualStack), or the client an address " +
      `of family ${families}`,
  };
}

function* sourceRangeFindings(
  plan: ServicePortPlan,
  clients: readonly Client[] | undefined,
): Generator<Finding> {
  const { sourceRanges } = plan;
  if (sourceRanges === undefined || !plan.frontends.some(({ kind }) => kind === "LoadBalancerIP")) return;
  const client = clients && ofFamily(clients, plan.family);
  // The ranges of the other family do not concern the client.
  if (clients !== undefined && client === undefined) return;
  const about = `${printedName(plan)} (${plan.family})`;
  const ranges = listed(sourceRanges.map(formatCidr));
  const denies = client !== undefined && !sourceRanges.some((range) => contains(range, client.source));
  yield {
    cause: denies ? "source-range-denies" : "source-ranges",
    severity: denies ? "problem" : "notice",
    about,
    text: denies
      ? `Its load-balancer addresses are open to ${ranges} only, and the client is in none of them.`
      : `Its load-balancer addresses are open to ${ranges} only. Other clients are dropped.`,
    advice: denies ? "Add the client's range to spec.loadBalancerSourceRanges" : "",
  };
}

function* nodePortFindings(knowledge: Knowledge, plan: ServicePortPlan): Generator<Finding> {
  const nodePort = plan.frontends.find(({ kind }) => kind === "NodePort");
  if (nodePort === undefined || destinationOf(knowledge, plan, nodePort) !== undefined) return;
  yield {
    cause: "node-port-on-no-address",
    severity: "problem",
    about: `${printedName(plan)} (${plan.family})`,
    text: `Its node port ${nodePort.port} answers on no ${plan.family} address of this node.`,
    advice: "Set nodePortAddresses (--nodeport-addresses) to a range that has an address of this node",
  };
}
