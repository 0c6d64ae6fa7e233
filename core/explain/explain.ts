import { type Address, familyOf, formatAddress, formatSocketAddress } from "../net/address.ts";
import { FAMILIES, type Family } from "../net/protocol.ts";
import { eachInTurns, turns } from "../async/turns.ts";
import { serviceName } from "../objects/store.ts";
import { type ServicePortPlan } from "../plan/plan.ts";
import { noServiceFinding, planAt } from "./address_findings.ts";
import { type Client, clientAt, describeClient, ofFamily, sampleClients } from "./clients.ts";
import type { Explanation, Finding, ServicePortFacts, Walk } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import { listed } from "./listed.ts";
import { describeOutcome } from "./outcome.ts";
import type { Question } from "./question.ts";
import { missingServiceFinding, serviceFindings, servicePortFindings } from "./service_findings.ts";
import { candidatesOf, destinationOf, MAX_FRONTENDS, servicePortFacts } from "./service_port.ts";
import { traceInTurns } from "./trace/tracer.ts";

/** Service ports of one Service that are explained. A Service may have thousands. */
const MAX_SERVICE_PORTS = 64;
/** Endpoints that an explanation lists, of all its service ports. */
const MAX_ENDPOINTS = 1000;
/** Steps of a walk that are listed. Each endpoint may have a step. */
const MAX_STEPS = 64;

/**
 * Explains what this node does with connections to a Service or to an address, and what is wrong. Works in turns, because
 * the running proxy answers questions, too.
 * @param from addresses of a client, at most one of each family; undefined for one client of each kind.
 */
export async function explain(
  knowledge: Knowledge,
  question: Question,
  from: readonly Address[] | undefined,
): Promise<Explanation> {
  return question.about === "service"
    ? await explainService(knowledge, question, from)
    : await explainAddress(knowledge, question, from);
}

async function explainService(
  knowledge: Knowledge,
  { namespace, name, port }: Extract<Question, { readonly about: "service" }>,
  from: readonly Address[] | undefined,
): Promise<Explanation> {
  const subject = `Service ${namespace}/${name}${port === "" ? "" : `, port ${port}`}`;
  const service = `${namespace}/${name}`;
  const ofService = await plansOf(knowledge, namespace, name);
  const asked = ofService.filter((plan) => port === "" || hasPort(plan, port));
  const plans = asked.slice(0, MAX_SERVICE_PORTS);
  const nothing = { subject, servicePorts: [], moreServicePorts: 0, walks: [] };
  if (knowledge.store.get(service) === undefined) {
    return { ...nothing, findings: [await missingServiceFinding(knowledge, namespace, name)] };
  }
  if (plans.length === 0) {
    const finding = ofService.length === 0
      ? planFinding(knowledge, service)
      : portFinding(service, port, ofService);
    return { ...nothing, findings: [finding] };
  }
  const clients = from?.map((address) => clientAt(knowledge, address));
  const walks: Walk[] = [];
  for (const plan of plans) {
    const client = clients && ofFamily(clients, plan.family);
    if (client !== undefined) walks.push(...await walksTo(knowledge, plan, client));
  }
  const moreServicePorts = asked.length - plans.length;
  return await explained(knowledge, { subject, plans, clients, walks, moreServicePorts });
}

async function explainAddress(
  knowledge: Knowledge,
  question: Extract<Question, { readonly about: "address" }>,
  from: readonly Address[] | undefined,
): Promise<Explanation> {
  const { address, port, protocol } = question;
  const subject = `${formatSocketAddress(address, port)}/${protocol}`;
  const plan = planAt(knowledge, question);
  const asked = from?.map((address) => clientAt(knowledge, address));
  const walks: Walk[] = [];
  for (const client of asked ?? sampleClients(knowledge, familyOf(address), plan)) {
    if (familyOf(client.source) === familyOf(address)) walks.push(await walk(knowledge, question, client));
  }
  // Source ranges guard load-balancer addresses only.
  const guarded = plan?.frontends.some((frontend) =>
    frontend.kind === "LoadBalancerIP" && frontend.address === address
  );
  if (plan !== undefined) {
    const clients = guarded ? asked : undefined;
    return await explained(knowledge, { subject, plans: [plan], clients, walks });
  }
  const findings = [await noServiceFinding(knowledge, question)];
  return { subject, servicePorts: [], moreServicePorts: 0, walks, findings };
}

interface Subject {
  readonly subject: string;
  /** Plans of one Service. */
  readonly plans: readonly ServicePortPlan[];
  /** The client asked about, with one address of each family that it has; undefined for all clients. */
  readonly clients: readonly Client[] | undefined;
  readonly walks: readonly Walk[];
  readonly moreServicePorts?: number;
}

async function explained(
  knowledge: Knowledge,
  { subject, plans, clients, walks, moreServicePorts = 0 }: Subject,
): Promise<Explanation> {
  const findings: Finding[] = [];
  const servicePorts: ServicePortFacts[] = [];
  const [first] = plans;
  const stored = first && knowledge.store.get(serviceName(first));
  if (stored !== undefined) {
    findings.push(...serviceFindings(knowledge, stored, plans, clients));
    const shown = Math.floor(MAX_ENDPOINTS / plans.length);
    for (const plan of plans) {
      if (turns.isOver) await turns.next();
      const candidates = candidatesOf(knowledge, stored, plan);
      findings.push(...servicePortFindings(knowledge, { stored, plan, candidates }, clients));
      servicePorts.push(await servicePortFacts(knowledge, plan, candidates, shown));
    }
  }
  return { subject, servicePorts, moreServicePorts, walks, findings: problemsFirst(findings) };
}

/** The Services that a question and its answer are about, as `namespace/name`. */
export function servicesOf({ servicePorts }: Explanation, question: Question): readonly string[] {
  const asked = question.about === "service" ? [`${question.namespace}/${question.name}`] : [];
  return [...new Set([...asked, ...servicePorts.map(({ name }) => name.replace(/:.*/, ""))])];
}

/** The families that a question is about; all of them for a Service without ports in force. */
export function familiesOf({ servicePorts }: Explanation, question: Question): readonly Family[] {
  if (question.about === "address") return [familyOf(question.address)];
  return servicePorts.length === 0 ? FAMILIES : [...new Set(servicePorts.map(({ family }) => family))];
}

export function problemsFirst(findings: readonly Finding[]): readonly Finding[] {
  return [
    ...findings.filter(({ severity }) => severity === "problem"),
    ...findings.filter(({ severity }) => severity === "notice"),
  ];
}

async function plansOf(
  { traced }: Knowledge,
  namespace: string,
  name: string,
): Promise<readonly ServicePortPlan[]> {
  const found: ServicePortPlan[] = [];
  await eachInTurns(traced.plans.values(), (plan) => {
    if (plan.name === name && plan.namespace === namespace) found.push(plan);
  });
  return found;
}

function hasPort({ portName, frontends }: ServicePortPlan, port: string): boolean {
  return portName === port || frontends.some((frontend) => String(frontend.port) === port);
}

async function walksTo(
  knowledge: Knowledge,
  plan: ServicePortPlan,
  client: Client,
): Promise<readonly Walk[]> {
  const walks: Walk[] = [];
  for (const frontend of plan.frontends.slice(0, MAX_FRONTENDS)) {
    const address = destinationOf(knowledge, plan, frontend);
    if (address === undefined) continue;
    walks.push(await walk(knowledge, { address, port: frontend.port, protocol: plan.protocol }, client));
  }
  return walks;
}

async function walk(
  { traced }: Knowledge,
  { address, port, protocol }: Omit<Extract<Question, { readonly about: "address" }>, "about">,
  client: Client,
): Promise<Walk> {
  if (turns.isOver) await turns.next();
  const { source, incoming } = client;
  const { steps, outcome } = await traceInTurns(traced, {
    source,
    incoming,
    destination: address,
    protocol,
    port,
  });
  const more = steps.length - MAX_STEPS;
  return {
    from: describeClient(client),
    to: `${formatSocketAddress(address, port)}/${protocol}`,
    steps: [
      ...steps.slice(0, MAX_STEPS).map(({ text }) => text),
      ...more > 0 ? [`and ${more} more, about other endpoints`] : [],
    ],
    verdict: outcome.verdict,
    outcome: describeOutcome(outcome),
  };
}

function portFinding(service: string, port: string, plans: readonly ServicePortPlan[]): Finding {
  const ports = new Set(
    plans.map((plan) => {
      const [first] = plan.frontends;
      return `${first?.port ?? "?"}/${plan.protocol}${plan.portName === "" ? "" : ` (${plan.portName})`}`;
    }),
  );
  return {
    cause: "no-such-port",
    severity: "problem",
    about: `Service ${service}`,
    text: `It has no port ${port}. It has ${listed([...ports])}.`,
    advice: "Use one of these, or add the port to the Service",
  };
}

/** Why a Service has no plans. */
function planFinding({ store, context }: Knowledge, service: string): Finding {
  const { clusterIPs = [] } = store.get(service)?.service ?? {};
  const about = `Service ${service}`;
  if (clusterIPs.some((address) => context.families.includes(familyOf(address)))) {
    return {
      cause: "not-in-force",
      severity: "problem",
      about,
      text: "The proxy knows it, and none of its ports is in force.",
      advice: "Wait for the next sync, or look for its name in the log: the kernel may reject it",
    };
  }
  return {
    cause: "family-not-in-use",
    severity: "problem",
    about,
    text:
      `Its addresses (${clusterIPs.map(formatAddress).join(", ")}) are of a family that this node does not ` +
      `use. It uses ${context.families.join(" and ") || "none"}.`,
    advice: "Enable the family in the kernel of the node, or give the Service an address of the other one",
  };
}
