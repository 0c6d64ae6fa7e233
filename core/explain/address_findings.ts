import { eachInTurns } from "../async/turns.ts";
import { type Address, contains, familyOf, formatAddress, formatCidr, isLoopback } from "../net/address.ts";
import { printedName, type ServicePortPlan } from "../plan/plan.ts";
import type { Finding } from "./explanation.ts";
import type { Knowledge } from "./knowledge.ts";
import type { Question } from "./question.ts";
import { FrontendLookup } from "./trace/frontend_lookup.ts";

type AddressQuestion = Extract<Question, { readonly about: "address" }>;

/** The plan with the frontend that connections to the address meet; undefined if there is none. */
export function planAt(
  { traced }: Knowledge,
  { address, port, protocol }: AddressQuestion,
): ServicePortPlan | undefined {
  const settings = traced.settings.find(({ family }) => family === familyOf(address));
  if (settings === undefined) return undefined;
  const lookup = new FrontendLookup(traced, settings, protocol);
  const atNodePort = () => lookup.isLocal(address) ? lookup.atNodePort(address, port) : undefined;
  return (lookup.atAddress(address, port) ?? atNodePort())?.plan;
}

/** Why no service answers at an address. */
export async function noServiceFinding(
  knowledge: Knowledge,
  question: AddressQuestion,
): Promise<Finding> {
  const { address } = question;
  const about = formatAddress(address);
  const reason = await ofOtherPort(knowledge, question) ?? ofNodePort(knowledge, question) ??
    ofRange(knowledge, address) ?? await ofEndpoint(knowledge, address);
  if (reason !== undefined) return { about, ...reason };
  return {
    cause: "not-a-service",
    severity: "notice",
    about,
    text: `${about} is no address of a service, so this proxy does not touch connections to it.`,
    advice: "",
  };
}

type Reason = Omit<Finding, "about">;

/** The address belongs to a service, but not with this port and protocol. */
async function ofOtherPort(
  { traced }: Knowledge,
  { address, port, protocol }: AddressQuestion,
): Promise<Reason | undefined> {
  let first: ServicePortPlan | undefined;
  let hasPort = false;
  const ports: string[] = [];
  await eachInTurns(traced.plans.values(), (plan) => {
    for (const frontend of plan.frontends) {
      if (frontend.kind === "NodePort" || frontend.address !== address) continue;
      first ??= plan;
      hasPort ||= frontend.port === port;
      if (ports.length < MAX_PORTS) ports.push(`${frontend.port}/${plan.protocol}`);
    }
  });
  if (first === undefined) return undefined;
  const service = `${first.namespace}/${first.name}`;
  return {
    cause: hasPort ? "wrong-protocol" : "wrong-port",
    severity: "problem",
    text: `${formatAddress(address)} is an address of Service ${service}, which does not have ` +
      `${port}/${protocol}. It has ${ports.join(", ")}.`,
    advice: "Use one of these, or add the port to the Service",
  };
}

const MAX_PORTS = 16;

/** The port is a node port, but not here. */
function ofNodePort({ traced }: Knowledge, { address, port, protocol }: AddressQuestion): Reason | undefined {
  if (!traced.addresses.includes(address) && !isLoopback(address)) return undefined;
  const owner = traced.index.atNodePort(protocol, familyOf(address), port)?.plan;
  const here = formatAddress(address);
  if (owner === undefined) {
    return {
      cause: "no-such-node-port",
      severity: "notice",
      text: `${here} is an address of this node, and no service has node port ${port}/${protocol}.`,
      advice: "",
    };
  }
  return {
    cause: "node-port-not-on-this-address",
    severity: "problem",
    text: `${port}/${protocol} is a node port of ${
      printedName(owner)
    }, but node ports do not answer on ${here}.`,
    advice: isLoopback(address)
      ? "Use another address of the node. Loopback addresses need --iptables-localhost-nodeports or a range " +
        "in nodePortAddresses, in modes that can serve them"
      : "Use the node's primary address, or add a range with this address to nodePortAddresses " +
        "(--nodeport-addresses)",
  };
}

function ofRange({ traced }: Knowledge, address: Address): Reason | undefined {
  const range = traced.settings.flatMap(({ serviceCidrs }) => serviceCidrs)
    .find((cidr) => contains(cidr, address));
  if (range === undefined) return undefined;
  return {
    cause: "unallocated-address",
    severity: "problem",
    text: `${formatAddress(address)} is in the range of service addresses ${formatCidr(range)}, but no ` +
      "Service has it, so connections to it are dropped.",
    advice: "The Service may have been deleted or made again with another address: look up the address again",
  };
}

async function ofEndpoint(
  { traced }: Knowledge,
  address: Address,
): Promise<Reason | undefined> {
  if (!traced.index.endpointAddresses.has(address)) return undefined;
  let owner: ServicePortPlan | undefined;
  for (const plan of traced.plans.values()) {
    for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
      await eachInTurns(endpoints, (endpoint) => {
        if (endpoint.address === address) owner ??= plan;
      });
    }
    if (owner !== undefined) break;
  }
  if (owner === undefined) return undefined;
  return {
    cause: "address-of-an-endpoint",
    severity: "notice",
    text: `${formatAddress(address)} is an endpoint of ${
      printedName(owner)
    }. Connections to it do not pass the proxy.`,
    advice: "",
  };
}
