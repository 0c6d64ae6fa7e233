import * as v from "valibot";
import { parseDocument } from "yaml";
import { type MachineName, machines } from "../lab/topology.ts";

/**
 * The language of the scenario files, described in README.md beside this file. `parseScenario` turns the text of
 * one into steps; what a step does is the runner's business.
 */
export interface Scenario {
  readonly name: string;
  readonly why: string;
  /** "dual": one run with services of both families. Else a run per family named, with services of that family. */
  readonly families: "v4" | "v6" | "both" | "dual";
  /** Of the proxy: the others cannot do what it is about. */
  readonly modes: readonly string[];
  /** Flags of the proxy beyond those that all scenarios share. */
  readonly flags: readonly string[];
  readonly steps: readonly Step[];
}

const machine = v.picklist(Object.keys(machines).filter((name): name is MachineName => name in machines));
const podAtNode = v.pipe(
  v.string(),
  v.regex(/^[a-z-]+(@[a-z]+)?$/, "must be a machine, or machine@node"),
  v.transform((text) => {
    const [pod, node] = text.split("@");
    return { pod: pod!, node };
  }),
);
const endpoint = v.union([
  podAtNode,
  v.strictObject({
    pod: v.string(),
    node: v.optional(v.string()),
    /** Topology hints. */
    zones: v.optional(v.array(v.string())),
    nodes: v.optional(v.array(v.string())),
    /** As they stand in the slice, instead of those that the list it is in implies. */
    conditions: v.optional(v.strictObject({
      ready: v.optional(v.boolean()),
      serving: v.optional(v.boolean()),
      terminating: v.optional(v.boolean()),
    })),
  }),
], "must be a machine, machine@node, or { pod, node, zones, nodes, conditions }");
const portNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const protocol = v.picklist(["TCP", "UDP"]);
const policy = v.picklist(["Cluster", "Local"]);
const signal = v.picklist(["SIGTERM", "SIGKILL"]);
const mode = v.picklist(["nftables", "iptables", "ipvs", "ebpf"]);
const annotations = v.optional(v.record(v.string(), v.string()));

const serviceSchema = v.strictObject({
  /** `name`, or `name.namespace`. */
  name: v.string(),
  /** Of a dual-stack scenario, the only family it has. */
  family: v.optional(v.picklist(["v4", "v6"])),
  type: v.optional(v.picklist(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]), "ClusterIP"),
  ports: v.array(v.strictObject({
    name: v.optional(v.string(), ""),
    port: portNumber,
    protocol: v.optional(protocol, "TCP"),
    nodePort: v.optional(portNumber),
    /** What the endpoints listen on; one of the lab's served ports. */
    targetPort: v.optional(portNumber, 8080),
  })),
  /** "None" for a headless service, or the name of the service whose address it takes. */
  clusterIP: v.optional(v.string()),
  /** true for an address of its own, a machine or service whose address it takes, or several such names. */
  externalIP: v.optional(v.union([v.boolean(), v.string(), v.array(v.string())]), false),
  /** The same; a LoadBalancer has one of its own unless it says otherwise. */
  loadBalancerIP: v.optional(v.union([v.boolean(), v.string(), v.array(v.string())])),
  ipMode: v.optional(v.picklist(["VIP", "Proxy"])),
  /** Machines, or CIDRs. */
  sourceRanges: v.optional(v.array(v.string())),
  /** ClientIP affinity with this timeout in seconds. */
  affinity: v.optional(portNumber),
  externalTrafficPolicy: v.optional(policy),
  internalTrafficPolicy: v.optional(policy),
  healthCheckNodePort: v.optional(portNumber),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  annotations,
  created: v.optional(v.string()),
});
export type ServiceSpec = v.InferOutput<typeof serviceSchema>;

const endpointsSchema = v.strictObject({
  of: v.string(),
  ready: v.optional(v.array(endpoint), []),
  /** Not ready, but still serving, and about to end. */
  terminating: v.optional(v.array(endpoint), []),
  notReady: v.optional(v.array(endpoint), []),
  /** Tells slices of one service apart. */
  slice: v.optional(v.string(), "1"),
  /** Instead of the ports of the service. */
  ports: v.optional(v.array(v.strictObject({
    name: v.optional(v.string(), ""),
    port: portNumber,
    protocol: v.optional(protocol, "TCP"),
  }))),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  annotations,
});
export type EndpointsSpec = v.InferOutput<typeof endpointsSchema>;
export type EndpointSpec = EndpointsSpec["ready"][number];

const connectSchema = {
  from: machine,
  to: v.string(),
  /** Where a port number serves both. */
  protocol: v.optional(protocol),
  /** Of a dual-stack scenario, the one family it is about. */
  family: v.optional(v.picklist(["v4", "v6"])),
};
const reaches = v.union([
  v.array(v.pipe(v.string(), v.regex(/^[a-z-]+(:\d+)?$/, "must be a machine, or machine:port"))),
  v.literal("one"),
  v.pipe(v.string(), v.regex(/^(not )?same as \S+$/)),
], 'must be a list of machines, "one", "same as NAME", or "not same as NAME"');
const source = v.union([v.picklist(["client", "node"]), machine], "must be client, node or a machine");

const expectSchema = v.pipe(
  v.strictObject({
    ...connectSchema,
    from: v.pipe(
      v.union([machine, v.array(machine)], `must be one or several of ${Object.keys(machines).join(", ")}`),
      v.transform((from) => typeof from === "string" ? [from] : from),
    ),
    reaches: v.optional(reaches),
    answer: v.optional(v.picklist(["none", "refused", "dropped"])),
    /** Of a health-check node port, of service `of`: what it answers, or that nobody listens. */
    http: v.optional(v.union([
      v.literal("closed"),
      v.strictObject({
        status: v.picklist([200, 503]),
        localEndpoints: v.number(),
        of: v.optional(v.string(), "web"),
      }),
    ], 'must be { status: 200 or 503, localEndpoints, of }, or "closed"')),
    /** The address that the pods see. */
    source: v.optional(source),
    /** "even": every pod gets its share, within statistical bounds. */
    spread: v.optional(v.literal("even")),
    /** A name for the pod that answered each client, with `reaches: one`. */
    as: v.optional(v.string()),
  }),
  v.check(
    ({ reaches, answer, http }) => [reaches, answer, http].filter((what) => what !== undefined).length === 1,
    "needs either reaches or answer or http",
  ),
);
export type ExpectSpec = v.InferOutput<typeof expectSchema>;

const openSchema = v.strictObject({
  ...connectSchema,
  as: v.string(),
  /** An attempt that nobody answers, and that goes on: `send` tries again from the same port. */
  answer: v.optional(v.literal("none")),
});
export type OpenSpec = v.InferOutput<typeof openSchema>;

const sendSchema = v.pipe(
  v.strictObject({
    over: v.string(),
    reaches: v.optional(v.union([v.literal("same"), v.array(v.string())])),
    answer: v.optional(v.literal("none")),
  }),
  v.check(
    (send) => (send.reaches === undefined) !== (send.answer === undefined),
    "needs either reaches or answer",
  ),
);
export type SendSpec = v.InferOutput<typeof sendSchema>;

const reopenSchema = v.strictObject({ over: v.string(), reaches: v.array(v.string()) });
export type ReopenSpec = v.InferOutput<typeof reopenSchema>;

const manifestSchema = v.looseObject({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: v.looseObject({ name: v.string() }),
});

/** What a step may be. The first key tells which. */
const stepSchemas = [
  /** A new Service, or the new state of one. */
  v.strictObject({ service: serviceSchema }),
  /** The same for an EndpointSlice per family of a service. */
  v.strictObject({ endpoints: endpointsSchema }),
  /** An object of the API as it is. */
  v.strictObject({ manifest: manifestSchema }),
  v.strictObject({ "delete service": v.string() }),
  v.strictObject({ "delete endpoints": v.string() }),
  /** To or from all slices of the scenario. */
  v.strictObject({ "add endpoint": endpoint }),
  /** A machine, or the name that `as` gave to the one that answered. */
  v.strictObject({ "remove endpoint": v.string() }),
  v.strictObject({ expect: expectSchema }),
  /** A connection, or a UDP flow, that stays open for `send`. */
  v.strictObject({ open: openSchema }),
  v.strictObject({ send: sendSchema }),
  /** Ends a connection, the server first, and opens it again from the same port. */
  v.strictObject({ reopen: reopenSchema }),
  /** Seconds. */
  v.strictObject({ wait: v.number() }),
  /** The zone of node "here" from now on, or "none". */
  v.strictObject({ "node zone": v.string() }),
  /** Gives node an address of a service as its own, to the end of the scenario. */
  v.strictObject({ "hold address": v.string() }),
  /** Takes it from node again. */
  v.strictObject({ "release address": v.string() }),
  /** A port of node, on which a program listens on all addresses, to the end of the scenario. */
  v.strictObject({ listen: portNumber }),
  /** The signal that ends the proxy before it is started again. */
  v.strictObject({ restart: signal }),
  /** The same in two steps, between which the proxy is away. */
  v.strictObject({ stop: signal }),
  v.strictObject({ start: v.literal("again") }),
] as const;
export type Step = v.InferOutput<typeof stepSchemas[number]>;

const fileSchema = v.strictObject({
  name: v.string(),
  why: v.string(),
  families: v.optional(v.picklist(["v4", "v6", "both", "dual"]), "both"),
  modes: v.optional(v.array(mode), mode.options),
  flags: v.optional(v.array(v.string()), []),
  given: v.array(v.unknown()),
  expect: v.optional(v.array(v.unknown()), []),
  then: v.optional(v.array(v.unknown()), []),
});

/** @throws Error `file: where: what is wrong` */
export function parseScenario(file: string, text: string): Scenario {
  const document = parseDocument(text, { merge: true });
  const [unreadable] = document.errors;
  if (unreadable) throw new Error(`${file}: ${unreadable.message}`);
  const { name, why, families, modes, flags, given, expect, then } = parse(fileSchema, document.toJS(), file);
  const steps = [
    ...given.map((step, i) => parseStep(step, `${file}: given[${i}]`)),
    ...expect.map((spec, i) => parseStep({ expect: spec }, `${file}: expect[${i}]`)),
    ...then.map((step, i) => parseStep(step, `${file}: then[${i}]`)),
  ];
  return { name, why, families, modes, flags, steps };
}

function parseStep(step: unknown, where: string): Step {
  const kinds = stepSchemas.map((schema) => Object.keys(schema.entries)[0]!);
  const schema = stepSchemas.find((_, i) => typeof step === "object" && step !== null && kinds[i]! in step);
  if (!schema) throw new Error(`${where}: must be one of ${kinds.join(", ")}; it is ${JSON.stringify(step)}`);
  return parse(schema, step, where);
}

function parse<T extends v.GenericSchema>(schema: T, value: unknown, where: string): v.InferOutput<T> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue);
  throw new Error(`${where}${path ? `: ${path}` : ""}: ${issue.message}`);
}
