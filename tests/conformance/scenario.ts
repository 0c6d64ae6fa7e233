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
  }),
], "must be a machine, machine@node, or { pod, node, zones, nodes }");
const portNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const protocol = v.picklist(["TCP", "UDP"]);
const policy = v.picklist(["Cluster", "Local"]);

const serviceSchema = v.strictObject({
  name: v.string(),
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
  /** true for an address of its own, or the name of the service whose address it takes. */
  externalIP: v.optional(v.union([v.boolean(), v.string()]), false),
  /** The same; a LoadBalancer has one of its own unless it says otherwise. */
  loadBalancerIP: v.optional(v.union([v.boolean(), v.string()])),
  ipMode: v.optional(v.picklist(["VIP", "Proxy"])),
  /** Machines, or CIDRs. */
  sourceRanges: v.optional(v.array(v.string())),
  /** ClientIP affinity with this timeout in seconds. */
  affinity: v.optional(portNumber),
  externalTrafficPolicy: v.optional(policy),
  internalTrafficPolicy: v.optional(policy),
  labels: v.optional(v.record(v.string(), v.string()), {}),
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
    /** The address that the pods see. */
    source: v.optional(source),
    /** "even": every pod gets its share, within statistical bounds. */
    spread: v.optional(v.literal("even")),
    /** A name for the pod that answered each client, with `reaches: one`. */
    as: v.optional(v.string()),
  }),
  v.check(
    (expect) => (expect.reaches === undefined) !== (expect.answer === undefined),
    "needs either reaches or answer",
  ),
);
export type ExpectSpec = v.InferOutput<typeof expectSchema>;

const openSchema = v.strictObject({ ...connectSchema, as: v.string() });
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
  /** Seconds. */
  v.strictObject({ wait: v.number() }),
  /** The signal that ends the proxy before it is started again. */
  v.strictObject({ restart: v.picklist(["SIGTERM", "SIGKILL"]) }),
] as const;
export type Step = v.InferOutput<typeof stepSchemas[number]>;

const fileSchema = v.strictObject({
  name: v.string(),
  why: v.string(),
  families: v.optional(v.picklist(["v4", "v6", "both", "dual"]), "both"),
  flags: v.optional(v.array(v.string()), []),
  given: v.array(v.unknown()),
  expect: v.optional(v.array(v.unknown()), []),
  then: v.optional(v.array(v.unknown()), []),
});

/** @throws Error `file: where: what is wrong` */
export function parseScenario(file: string, text: string): Scenario {
  const document = parseDocument(text);
  const [unreadable] = document.errors;
  if (unreadable) throw new Error(`${file}: ${unreadable.message}`);
  const { name, why, families, flags, given, expect, then } = parse(fileSchema, document.toJS(), file);
  const steps = [
    ...given.map((step, i) => parseStep(step, `${file}: given[${i}]`)),
    ...expect.map((spec, i) => parseStep({ expect: spec }, `${file}: expect[${i}]`)),
    ...then.map((step, i) => parseStep(step, `${file}: then[${i}]`)),
  ];
  return { name, why, families, flags, steps };
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
