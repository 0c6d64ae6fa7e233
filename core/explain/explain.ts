import { type Address, familyOf, formatAddress, formatSocketAddress } from "../net/address.ts";
import { FAMILIES, type Family } from "../net/protocol.ts";
import { serviceName } from "../objects/store.ts";
import { type ServicePortPlan } from "../plan/plan.ts";
import { noServiceFinding, planAt } from "./address_findings.ts";
import { type Client, clientAt, describeClient, ofFamily, sampleClients } from "./clients.ts";
import type { Explanation, Finding, ServicePortFacts, Walk } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import { describeOutcome } from "./outcome.ts";
import type { Question } from "./question.ts";
import { missingServiceFindings, serviceFindings } from "./service_findings.ts";
import { destinationOf, servicePortFacts } from "./service_port.ts";
import { traceConnection } from "./trace/tracer.ts";

/** Service ports of one Service that are explained. A Service may have thousands. */
const MAX_SERVICE_PORTS = 64;

/**
 * Explains what this node does with connections to a Service or to an address, and what is wrong.
 * @param from addresses of a client, at most one of each family; undefined for one client of each kind.
 * @param pause is awaited between steps of some milliseconds, for a process that has other work.
 */
export async function explain(
  knowledge: Knowledge,
  question: Question,
  from: readonly Address[] | undefined,
  pause: () => Promise<void> = async () => {},
): Promise<Explanation> {
  return question.about === "service"
    ? await explainService(knowledge, question, from, pause)
    : await explainAddress(knowledge, question, from, pause);
}

async function explainService(
  knowledge: Knowledge,
  { namespace, name, port }: Extract<Question, { readonly about: "service" }>,
  from: readonly Address[] | undefined,
  pause: () => Promise<void>,
): Promise<Explanation> {
  const subject = `Service ${namespace}/${name}${port === "" ? "" : `, port ${port}`}`;
  const service = `${namespace}/${name}`;
  const ofService = plansOf(knowledge, namespace, name);
  const plans = ofService.filter((plan) => port === "" || hasPort(plan, port)).slice(0, MAX_SERVICE_PORTS);
  if (knowledge.store.get(service) === undefined) {
    const findings = [...missingServiceFindings(knowledge, namespace, name)];
    return { subject, servicePorts: [], walks: [], findings };
  }
  if (plans.length === 0) {
    const finding = ofService.length === 0
      ? planFinding(knowledge, service)
      : portFinding(service, port, ofService);
    return { subject, servicePorts: [], walks: [], findings: [finding] };
  }
  const clients = from?.map((address) => clientAt(knowledge, address));
  const walks: Walk[] = [];
  for (const plan of plans) {
    const client = clients && ofFamily(clients, plan.family);
    if (client === undefined) continue;
    walks.push(...walksTo(knowledge, plan, client));
    await pause();
  }
  return await explained(knowledge, { subject, plans, clients, walks }, pause);
}

async function explainAddress(
  knowledge: Knowledge,
  question: Extract<Question, { readonly about: "address" }>,
  from: readonly Address[] | undefined,
  pause: () => Promise<void>,
): Promise<Explanation> {
  const { address, port, protocol } = question;
  const subject = `${formatSocketAddress(address, port)}/${protocol}`;
  const plan = planAt(knowledge, question);
  const asked = from?.map((address) => clientAt(knowledge, address));
  const walks = (asked ?? sampleClients(knowledge, familyOf(address), plan))
    .filter(({ source }) => familyOf(source) === familyOf(address))
    .map((one) => walk(knowledge, question, one));
  // Source ranges guard load-balancer addresses only.
  const guarded = plan?.frontends.some((frontend) =>
    frontend.kind === "LoadBalancerIP" && frontend.address === address
  );
  if (plan !== undefined) {
    const clients = guarded ? asked : undefined;
    return await explained(knowledge, { subject, plans: [plan], clients, walks }, pause);
  }
  return { subject, servicePorts: [], walks, findings: [noServiceFinding(knowledge, question)] };
}

interface Subject {
  readonly subject: string;
  /** Plans of one Service. */
  readonly plans: readonly ServicePortPlan[];
  /** The client asked about, with one address of each family that it has; undefined for all clients. */
  readonly clients: readonly Client[] | undefined;
  readonly walks: readonly Walk[];
}

async function explained(
  knowledge: Knowledge,
  { subject, plans, clients, walks }: Subject,
  pause: () => Promise<void>,
): Promise<Explanation> {
  const findings: Finding[] = [];
  const servicePorts: ServicePortFacts[] = [];
  const [first] = plans;
  const stored = first && knowledge.store.get(serviceName(first));
  if (stored !== undefined) {
    for (const plan of plans) {
      servicePorts.push(servicePortFacts(knowledge, stored, plan));
      await pause();
    }
    findings.push(...serviceFindings(knowledge, stored, plans, clients));
  }
  return { subject, servicePorts, walks, findings: problemsFirst(findings) };
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

function plansOf({ traced }: Knowledge, namespace: string, name: string): readonly ServicePortPlan[] {
  return [...traced.plans.values()].filter((plan) => plan.name === name && plan.namespace === namespace);
}

function hasPort({ portName, frontends }: ServicePortPlan, port: string): boolean {
  return portName === port || frontends.some((frontend) => String(frontend.port) === port);
}

function walksTo(knowledge: Knowledge, plan: ServicePortPlan, client: Client): readonly Walk[] {
  return plan.frontends.flatMap((frontend) => {
    const address = destinationOf(knowledge, plan, frontend);
    if (address === undefined) return [];
    return [walk(knowledge, { address, port: frontend.port, protocol: plan.protocol }, client)];
  });
}

function walk(
  { traced }: Knowledge,
  { address, port, protocol }: Omit<Extract<Question, { readonly about: "address" }>, "about">,
  client: Client,
): Walk {
  const { source, incoming } = client;
  const { steps, outcome } = traceConnection(traced, {
    source,
    incoming,
    destination: address,
    protocol,
    port,
  });
  return {
    from: describeClient(client),
    to: `${formatSocketAddress(address, port)}/${protocol}`,
    steps: steps.map(({ text }) => text),
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
    text: `It has no port ${port}. It has ${[...ports].join(", ")}.`,
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
