import * as v from "valibot";
import { parseDocument } from "yaml";
import { type MachineName, machines } from "../../lab/topology.ts";

/** A scenario file, parsed. ../README.md describes the format. `runner/runner.ts` executes the steps. */
export interface Scenario {
  readonly name: string;
  readonly why: string;
  /** "dual": one run with services of both families. Otherwise one run per named family, with services of it. */
  readonly families: "v4" | "v6" | "both" | "dual";
  /** Proxy modes that the scenario applies to. */
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
    /** Conditions in the slice; override those that follow from the list (ready, terminating, notReady). */
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
const mode = v.picklist(["nftables", "iptables", "ipvs", "ebpf", "userspace"]);
const annotations = v.optional(v.record(v.string(), v.string()));

const serviceSchema = v.strictObject({
  /** `name` or `name.namespace`. */
  name: v.string(),
  /** The only family of the service, in a dual-stack scenario. */
  family: v.optional(v.picklist(["v4", "v6"])),
  type: v.optional(v.picklist(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]), "ClusterIP"),
  ports: v.array(v.strictObject({
    name: v.optional(v.string(), ""),
    port: portNumber,
    protocol: v.optional(protocol, "TCP"),
    nodePort: v.optional(portNumber),
    /** Port that the endpoints listen on; one of `servedPorts`. */
    targetPort: v.optional(portNumber, 8080),
  })),
  /** "None" for a headless service, or the name of the service whose address this one uses. */
  clusterIP: v.optional(v.string()),
  /** true for an address of its own; or the names of one or more machines or services whose addresses it uses. */
  externalIP: v.optional(v.union([v.boolean(), v.string(), v.array(v.string())]), false),
  /** Same values as externalIP; the default for type LoadBalancer is true. */
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
  /** Not ready, serving, terminating. */
  terminating: v.optional(v.array(endpoint), []),
  notReady: v.optional(v.array(endpoint), []),
  /** Name suffix of the slice; distinguishes the slices of one service. */
  slice: v.optional(v.string(), "1"),
  /** Ports of the slice; the default is the ports of the service. */
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
  /** Needed if the port number exists in both protocols. */
  protocol: v.optional(protocol),
  /** The only family to use, in a dual-stack scenario. */
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
    /** Answer of the health-check node port of service `of`, or "closed" if the port must be closed. */
    http: v.optional(v.union([
      v.literal("closed"),
      v.strictObject({
        status: v.picklist([200, 503]),
        localEndpoints: v.number(),
        of: v.optional(v.string(), "web"),
      }),
    ], 'must be { status: 200 or 503, localEndpoints, of }, or "closed"')),
    /** Source address that the pods see. */
    source: v.optional(source),
    /** "even": every pod gets its share of the connections, within statistical bounds. */
    spread: v.optional(v.literal("even")),
    /** Name for the pod that answered each client; used with `reaches: one`. */
    as: v.optional(v.string()),
  }),
  v.check(
    ({ reaches, answer, http }) => [reaches, answer, http].filter((key) => key !== undefined).length === 1,
    "needs exactly one of reaches, answer and http",
  ),
);
export type ExpectSpec = v.InferOutput<typeof expectSchema>;

const openSchema = v.strictObject({
  ...connectSchema,
  as: v.string(),
  /** "none": an attempt without an answer, which is kept; `send` tries again from the same source port. */
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

/** Schemas of the steps. The first key identifies the kind of step. */
const stepSchemas = [
  /** Creates or replaces a Service. */
  v.strictObject({ service: serviceSchema }),
  /** Creates or replaces one EndpointSlice per family of a service. */
  v.strictObject({ endpoints: endpointsSchema }),
  /** Adds an API object as written. */
  v.strictObject({ manifest: manifestSchema }),
  v.strictObject({ "delete service": v.string() }),
  v.strictObject({ "delete endpoints": v.string() }),
  /** Adds an endpoint to all slices of the scenario. */
  v.strictObject({ "add endpoint": endpoint }),
  /** Removes an endpoint from all slices: a machine, or the name that `as` gave to the pod that answered. */
  v.strictObject({ "remove endpoint": v.string() }),
  v.strictObject({ expect: expectSchema }),
  /** Opens a connection, or a UDP flow, that stays open for `send`. */
  v.strictObject({ open: openSchema }),
  v.strictObject({ send: sendSchema }),
  /** Ends a connection, the server first, and opens it again from the same source port. */
  v.strictObject({ reopen: reopenSchema }),
  /** Waits this number of seconds. */
  v.strictObject({ wait: v.number() }),
  /** Sets the zone of node "here"; "none" removes it. */
  v.strictObject({ "node zone": v.string() }),
  /** Adds an address of a service to the node, until the end of the scenario. */
  v.strictObject({ "hold address": v.string() }),
  /** Removes the address from the node again. */
  v.strictObject({ "release address": v.string() }),
  /** Starts a program on the node that listens on this port on all addresses, until the end of the scenario. */
  v.strictObject({ listen: portNumber }),
  /** Stops the proxy by this signal and starts it again. */
  v.strictObject({ restart: signal }),
  /** Stops the proxy by this signal, until the step `start`. */
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

/** @throws with the file, the path in it and the error. */
export function parseScenario(file: string, text: string): Scenario {
  const document = parseDocument(text, { merge: true });
  const [syntaxError] = document.errors;
  if (syntaxError) throw new Error(`${file}: ${syntaxError.message}`);
  const { name, why, families, modes, flags, given, expect, then } = parse(fileSchema, document.toJS(), file);
  const steps = [
    ...given.map((step, i) => parseStep(step, `${file}: given[${i}]`)),
    ...expect.map((spec, i) => parseStep({ expect: spec }, `${file}: expect[${i}]`)),
    ...then.map((step, i) => parseStep(step, `${file}: then[${i}]`)),
  ];
  return { name, why, families, modes, flags, steps };
}

function parseStep(step: unknown, location: string): Step {
  const kinds = stepSchemas.map((schema) => Object.keys(schema.entries)[0]!);
  const schema = stepSchemas.find((_, i) => typeof step === "object" && step !== null && kinds[i]! in step);
  if (!schema) {
    throw new Error(`${location}: must be one of ${kinds.join(", ")}; it is ${JSON.stringify(step)}`);
  }
  return parse(schema, step, location);
}

function parse<T extends v.GenericSchema>(schema: T, value: unknown, location: string): v.InferOutput<T> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue);
  throw new Error(`${location}${path ? `: ${path}` : ""}: ${issue.message}`);
}
