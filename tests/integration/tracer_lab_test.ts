import assert from "node:assert/strict";
import { formatAddress, parseAddress } from "../../core/net/address.ts";
import { FAMILIES } from "../../core/net/protocol.ts";
import type { Trace, TracedNode } from "../../core/explain/trace/trace.ts";
import { traceConnection } from "../../core/explain/trace/tracer.ts";
import { nextMarker } from "../conformance/runner/marker.ts";
import {
  clusterObjects,
  type KubernetesObject,
  ServiceAddresses,
  serviceObject,
  sliceObjects,
} from "../conformance/runner/objects.ts";
import { KubeProxySubject } from "../conformance/subjects/kube_proxy_subject.ts";
import { summary } from "../conformance/runner/expectation.ts";
import { ManifestSubject, type Subject } from "../conformance/subjects/subject.ts";
import { inForce } from "../core/plan/in_force.ts";
import type { RawConfiguration } from "../oracle/raw_objects.ts";
import { isAnswered, type Outcome } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import {
  isNodeAddress,
  type MachineName,
  machines,
  podBridge,
  podCidrs,
  podGateways,
  podInterfacePrefix,
  secondNodeAddress,
} from "../lab/topology.ts";
import {
  clients,
  endpointMachines,
  type Question,
  questionsTo,
  type RandomService,
  randomServices,
} from "./support/random_services.ts";

/**
 * Compares the tracer with real packets: random Services are published together, and the machines of the lab connect to
 * them. The responding pod, a reject or drop, and the source that the endpoint sees must equal the tracer's result for
 * the same objects. PROPERTY_SEED selects other services; SUBJECT=kube-proxy tests kube-proxy instead.
 */
const isUpstream = Deno.env.get("SUBJECT") === "kube-proxy";
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);
const SERVICES_PER_CONFIGURATION = 15;

const configurations: readonly {
  readonly flags: readonly string[];
  readonly of: Partial<RawConfiguration>;
}[] = [
  { flags: [], of: {} },
  {
    flags: ["--masquerade-all=true", "--nodeport-addresses=0.0.0.0/0,::/0"],
    of: { masqueradeAll: true, nodePortAddresses: ["0.0.0.0/0", "::/0"] },
  },
  {
    flags: [
      "--detect-local-mode=InterfaceNamePrefix",
      `--pod-interface-name-prefix=${podInterfacePrefix}`,
      "--nodeport-addresses=192.168.8.96/27,fd00:8::100/120",
    ],
    of: {
      detectLocal: { mode: "InterfaceNamePrefix", prefix: podInterfacePrefix },
      nodePortAddresses: ["192.168.8.96/27", "fd00:8::100/120"],
    },
  },
];

Deno.test(`real packets go where the tracer says (PROPERTY_SEED=${seed})`, async (t) => {
  await using lab = await Lab.create();
  await using subject: Subject = isUpstream
    ? await KubeProxySubject.create(lab, "nftables")
    : new ManifestSubject(lab, "nftables");
  const counts = new Map<string, number>();
  for (const [index, { flags, of }] of configurations.entries()) {
    await t.step(flags.join(" ") || "default flags", async () => {
      const services = randomServices(SERVICES_PER_CONFIGURATION, seed + index);
      const { objects, addresses } = publication(services);
      await subject.publish(clusterObjects());
      await subject.run(flags);
      await publish(lab, subject, objects, addresses);

      const node = inForce({ objects, configuration: { ...defaults, ...of }, interfaceAddresses });
      const questions = questionsTo(services, addresses, seed + index)
        .map((question) => ({ question, trace: traceOf(node, question) }))
        .filter(({ question, trace }) => isAnswerable(question, trace));
      const complaints = await askAll(lab, questions, counts);
      assert.equal(complaints.length, 0, complaints.slice(0, 5).join("\n\n"));
    });
  }
  console.log(`    ${[...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ")}`);
  assert.ok((counts.get("balanced") ?? 0) > 100 && (counts.get("dropped") ?? 0) > 10);
});

const defaults: RawConfiguration = {
  families: FAMILIES,
  detectLocal: { mode: "ClusterCIDR", cidrs: Object.values(podCidrs.here) },
  masqueradeAll: false,
  nodePortAddresses: [],
  bindAddress: undefined,
};

/** Node of the lab. */
const interfaceAddresses = [machines.node.addresses, podGateways.here, secondNodeAddress]
  .flatMap((addresses) => Object.values(addresses));

interface Publication {
  readonly objects: readonly KubernetesObject[];
  readonly addresses: ServiceAddresses;
}

function publication(services: readonly RandomService[]): Publication {
  const addresses = new ServiceAddresses();
  const objects = services.flatMap(({ service, endpoints }) => [
    serviceObject(service, FAMILIES, addresses),
    ...sliceObjects(endpoints, service, FAMILIES),
  ]);
  return { objects: [...clusterObjects(), ...objects], addresses };
}

/** Publishes objects, and returns when they are in force, i.e. when a marker service published with them answers. */
async function publish(
  lab: Lab,
  subject: Subject,
  objects: readonly KubernetesObject[],
  addresses: ServiceAddresses,
): Promise<void> {
  const { port, service, endpoints } = nextMarker();
  const marker = [serviceObject(service, FAMILIES, addresses), ...sliceObjects(endpoints, service, FAMILIES)];
  await subject.publish([...objects, ...marker]);
  for (const family of FAMILIES) {
    const target = { protocol: "TCP", to: addresses.of("clusterIP", service.name, family), port } as const;
    for (const until = Date.now() + 30_000;;) {
      subject.assertRunning();
      const [outcome] = await lab.agent("node").probe(target, { timeoutMs: 100 });
      if (outcome !== undefined && isAnswered(outcome)) break;
      assert.ok(
        Date.now() < until,
        `what was published is not in force after 30 s:\n${subject.log.slice(-1000)}`,
      );
    }
  }
}

/** Ingress device of the node for packets of a machine. */
function incomingOf(from: MachineName): string | undefined {
  if (from === "node") return undefined;
  if (from === "pod-a" || from === "pod-b") return podBridge;
  return from === "pod-c" ? `${podInterfacePrefix}-c` : "eth0";
}

function traceOf(node: TracedNode, { from, family, target }: Question): Trace {
  const { to, port, protocol } = target;
  // A machine connects to its own address from the same address.
  const own = from === "node" && interfaceAddresses.includes(to) ? to : machines[from].addresses[family];
  const [source, destination] = [parseAddress(own), parseAddress(to)];
  assert.ok(source !== undefined && destination !== undefined);
  return traceConnection(node, { source, incoming: incomingOf(from), destination, protocol, port });
}

/** False when the reply would bypass the node, which has to translate it. */
function isAnswerable({ from }: Question, { outcome }: Trace): boolean {
  if (outcome.verdict !== "balanced" || machines[from].node === "here") return true;
  return outcome.choices.every(({ endpoint, source }) => source === "node" || endpoint.isLocal);
}

interface Prediction {
  readonly question: Question;
  readonly trace: Trace;
}

/**
 * Probes from all machines concurrently, several probes per machine at once. Probes of services with affinity run one by
 * one, because two concurrent first connections of a client may get two endpoints. Returns the mispredictions.
 */
async function askAll(
  lab: Lab,
  predictions: readonly Prediction[],
  counts: Map<string, number>,
): Promise<readonly string[]> {
  const complaints: string[] = [];
  const work = clients.flatMap((client) => {
    const own = predictions.filter(({ question }) => question.from === client);
    const { sticky = [], free = [] } = Object.groupBy(own, (one) => isSticky(one) ? "sticky" : "free");
    const queue = free.values();
    return [sticky.values(), ...Array<typeof queue>(AT_ONCE).fill(queue)].map(async (queue) => {
      for (const prediction of queue) {
        const { verdict } = prediction.trace.outcome;
        counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
        const complaint = await ask(lab, prediction);
        if (complaint !== undefined) complaints.push(complaint);
      }
    });
  });
  await Promise.all(work);
  return complaints;
}

const AT_ONCE = 8;

function isSticky({ trace: { outcome } }: Prediction): boolean {
  return outcome.verdict === "balanced" && outcome.affinitySeconds > 0;
}

async function ask(lab: Lab, { question, trace }: Prediction): Promise<string | undefined> {
  const { from, family, target } = question;
  const { outcome } = trace;
  const source = machines[from].namespace === "outside" ? { from: machines[from].addresses[family] } : {};
  // With this many connections, an endpoint is missed by chance once in a million runs.
  const options = outcome.verdict === "balanced"
    ? { times: outcome.choices.length === 1 ? 2 : 16 * outcome.choices.length, timeoutMs: 5000, parallel: 8 }
    : { times: 2, timeoutMs: outcome.verdict === "dropped" ? 400 : 5000 };
  // A single connection first, so that affinity is established before the concurrent ones.
  const first = await lab.agent(from).probe(target, { ...options, times: 1, ...source });
  const outcomes = [...first, ...await lab.agent(from).probe(target, { ...options, ...source })];
  if (isAsPredicted(question, trace, outcomes)) return undefined;
  return [
    `${from} to ${target.to} port ${target.port}/${target.protocol}: predicted ${outcome.verdict}, seen: ${
      summary(outcomes)
    }`,
    ...trace.steps.map(({ text, section }) => `  ${text} (${section})`),
  ].join("\n");
}

function isAsPredicted(
  { from, family }: Question,
  { outcome }: Trace,
  outcomes: readonly Outcome[],
): boolean {
  const allAre = (words: string) => outcomes.every((one) => !isAnswered(one) && one.outcome === words);
  switch (outcome.verdict) {
    // A destination without a service is always an unused port of the node here.
    case "passed":
    case "rejected":
      return allAre("refused");
    case "dropped":
      return allAre("timeout");
    case "balanced": {
      const client = machines[from].addresses[family];
      const isChoice = (one: Outcome) =>
        isAnswered(one) &&
        outcome.choices.some(({ endpoint, source }) =>
          nameOf(formatAddress(endpoint.address)) === one.pod && endpoint.port === one.port &&
          (source === "client"
            ? one.source === client || one.source === ownSource(from, one)
            : isNodeAddress(one.source))
        );
      const reached = new Set(outcomes.map((one) => isAnswered(one) ? `${one.pod} ${one.port}` : ""));
      return outcomes.every(isChoice) &&
        reached.size === (outcome.affinitySeconds > 0 ? 1 : outcome.choices.length);
    }
  }
}

/** The node connects to its own address from the same address, so any of them counts as the client's. */
function ownSource(from: MachineName, { source }: { readonly source: string }): string | undefined {
  return from === "node" && isNodeAddress(source) ? source : undefined;
}

function nameOf(address: string): string | undefined {
  return endpointMachines.find((name) => Object.values(machines[name].addresses).includes(address));
}
