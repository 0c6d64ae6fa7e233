/**
 * The load balancer of the test cluster. Gives each Service of type LoadBalancer an address of 192.168.90.0/24
 * or fd00:10:89:1::/64, and routes it (ECMP) from the network namespace that it runs in to the nodes that are
 * healthy for this Service.
 *
 *   load_balancer.ts API_SERVER_URL CA_FILE TOKEN_FILE
 */

const finalizer = "service.kubernetes.io/load-balancer-cleanup";
const excluded = "node.kubernetes.io/exclude-from-external-load-balancers";

interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels?: Record<string, string>;
  readonly finalizers?: string[];
  readonly deletionTimestamp?: string;
  readonly resourceVersion: string;
}

interface Node {
  readonly metadata: Metadata;
  readonly status: { readonly addresses: { readonly type: string; readonly address: string }[] };
}

interface Service {
  readonly metadata: Metadata;
  readonly spec: {
    readonly type: string;
    readonly ipFamilies?: string[];
    readonly loadBalancerClass?: string;
    readonly externalTrafficPolicy?: string;
    readonly healthCheckNodePort?: number;
    readonly sessionAffinity?: string;
  };
  readonly status: { readonly loadBalancer?: { readonly ingress?: unknown[] } };
}

const [server, caFile, tokenFile] = Deno.args;
if (server === undefined || caFile === undefined || tokenFile === undefined) {
  console.error("usage: load_balancer.ts API_SERVER_URL CA_FILE TOKEN_FILE");
  Deno.exit(2);
}
const token = Deno.readTextFileSync(tokenFile).trim();
const client = Deno.createHttpClient({ caCerts: [Deno.readTextFileSync(caFile)] });

/** Numbers of the addresses in use, by uid of their Service. */
const numbers = new Map<string, number>();
/** Next hops of the routes in force, by number. */
const routes = new Map<number, string>();

while (true) {
  try {
    await pass();
  } catch (error) {
    console.error(String(error));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** Compares what the API server and the nodes say with the routes, and changes what differs. */
async function pass(): Promise<void> {
  const nodes = (await list<Node>("/api/v1/nodes"))
    .filter((node) => node.metadata.labels?.[excluded] === undefined)
    .map((node) =>
      node.status.addresses.filter(({ type }) => type === "InternalIP").map(({ address }) => address)
    );
  const alive = await healthy(nodes, 10256);
  const services = await list<Service>("/api/v1/services");

  const wanted = new Map<number, string[][]>();
  for (const service of services) {
    const { metadata, spec } = service;
    if (spec.type !== "LoadBalancer" || metadata.deletionTimestamp || spec.loadBalancerClass) {
      await release(service);
      continue;
    }
    const number = numberOf(metadata.uid);
    await publish(service, number);
    const local = spec.externalTrafficPolicy === "Local" && spec.healthCheckNodePort !== undefined;
    const targets = local ? await healthy(nodes, spec.healthCheckNodePort!) : alive;
    // All connections of a client have to reach the same node, because nodes do not share their affinity.
    wanted.set(number, spec.sessionAffinity === "ClientIP" ? targets.slice(0, 1) : targets);
  }

  const uids = new Set(services.map(({ metadata }) => metadata.uid));
  for (const uid of numbers.keys()) {
    if (!uids.has(uid)) numbers.delete(uid);
  }
  for (const number of new Set([...routes.keys(), ...wanted.keys()])) {
    await route(number, wanted.get(number) ?? []);
  }
}

/** Sets the finalizer, then the addresses in the status. */
async function publish({ metadata, spec, status }: Service, number: number): Promise<void> {
  const finalizers = metadata.finalizers ?? [];
  if (!finalizers.includes(finalizer)) {
    await patch(metadata, "", { metadata: { finalizers: [...finalizers, finalizer] } });
  }
  if (status.loadBalancer?.ingress) return;
  const ingress = (spec.ipFamilies ?? []).map((family) => ({
    ip: family === "IPv4" ? `192.168.90.${number}` : `fd00:10:89:1::${number}`,
    ipMode: "VIP",
  }));
  await patch(metadata, "/status", { status: { loadBalancer: { ingress } } });
}

/** Removes addresses and finalizer of a Service that is deleted, or no longer of this type. */
async function release({ metadata, spec, status }: Service): Promise<void> {
  if (!metadata.finalizers?.includes(finalizer)) return;
  if (status.loadBalancer?.ingress && !metadata.deletionTimestamp && spec.type === "LoadBalancer") {
    await patch(metadata, "/status", { status: { loadBalancer: { ingress: null } } });
  }
  const finalizers = metadata.finalizers.filter((name) => name !== finalizer);
  await patch(metadata, "", { metadata: { finalizers, resourceVersion: metadata.resourceVersion } });
}

function numberOf(uid: string): number {
  let number = numbers.get(uid);
  if (number === undefined) {
    const taken = new Set(numbers.values());
    for (number = 10; taken.has(number); number++);
    numbers.set(uid, number);
  }
  return number;
}

/** Without targets there is no route, so that packets are lost as behind a load balancer, not rejected. */
async function route(number: number, targets: string[][]): Promise<void> {
  const key = JSON.stringify(targets);
  if (routes.get(number) === key || (targets.length === 0 && !routes.has(number))) return;
  for (const family of ["-4", "-6"]) {
    const destination = family === "-4" ? `192.168.90.${number}/32` : `fd00:10:89:1::${number}/128`;
    const hops = targets.flatMap((addresses) =>
      addresses.filter((address) => address.includes(":") === (family === "-6"))
        .flatMap((address) => ["nexthop", "via", address])
    );
    // IPv6 would append the hops to those of the old route.
    if (family === "-6" || hops.length === 0) await ip(family, "route", "delete", destination);
    // Clients have an address that belongs to no node, as they do in front of a real cluster.
    const source = family === "-4" ? "203.0.113.1" : "2001:db8::1";
    if (hops.length > 0) await ip(family, "route", "replace", destination, "src", source, ...hops);
  }
  if (targets.length === 0) routes.delete(number);
  else routes.set(number, key);
}

async function ip(...args: string[]): Promise<void> {
  await new Deno.Command("ip", { args, stdout: "null", stderr: "null" }).output();
}

/** The nodes that answer 200 on a health-check port, on their first address. */
async function healthy(nodes: string[][], port: number): Promise<string[][]> {
  const answers = await Promise.all(nodes.map(async ([address = ""]) => {
    const host = address.includes(":") ? `[${address}]` : address;
    try {
      const answer = await fetch(`http://${host}:${port}/healthz`, { signal: AbortSignal.timeout(1000) });
      await answer.body?.cancel();
      return answer.status === 200;
    } catch {
      return false;
    }
  }));
  return nodes.filter((_, index) => answers[index]);
}

async function list<T>(path: string): Promise<T[]> {
  return (await request(path)).items as T[];
}

async function patch({ namespace, name }: Metadata, subresource: string, body: unknown): Promise<void> {
  await request(`/api/v1/namespaces/${namespace}/services/${name}${subresource}`, {
    method: "PATCH",
    body: JSON.stringify(body),
    headers: { "content-type": "application/merge-patch+json" },
  });
}

async function request(path: string, init: RequestInit = {}): Promise<Record<string, unknown>> {
  const headers = { ...init.headers as Record<string, string>, authorization: `Bearer ${token}` };
  const answer = await fetch(`${server}${path}`, {
    ...init,
    headers,
    client,
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`${init.method ?? "GET"} ${path}: ${answer.status} ${await answer.text()}`);
  return await answer.json();
}
