import type { Cluster, KubernetesObject } from "../cluster.ts";
import type { Place } from "../places.ts";
import { AGNHOST } from "../workload.ts";

export interface WebPod {
  readonly name: string;
  readonly node: string;
  /** Name of the Service that has this pod as its endpoint. */
  readonly of?: string;
  readonly hostNetwork?: boolean;
  /** Port of the pod, for TCP and UDP (default 8080). */
  readonly port?: number;
  readonly hostPort?: number;
}

/** A pod that answers HTTP and UDP with its name and with the address of the client that it sees. */
export function webPod(
  namespace: string,
  { name, node, of = name, hostNetwork = false, port = 8080, hostPort }: WebPod,
): KubernetesObject {
  const ports = hostPort === undefined ? [] : ["TCP", "UDP"].map((protocol) => ({
    containerPort: port,
    hostPort,
    protocol,
  }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: of } },
    spec: {
      nodeName: node,
      hostNetwork,
      terminationGracePeriodSeconds: 0,
      containers: [{
        name: "web",
        image: AGNHOST,
        args: ["netexec", `--http-port=${port}`, `--udp-port=${port}`],
        ports,
        readinessProbe: { httpGet: { path: "/healthz", port }, periodSeconds: 1 },
      }],
    },
  };
}

/** A Service in front of the pods with its name, in both families, with port 80 for TCP and UDP. */
export function webService(
  namespace: string,
  name: string,
  { nodePort, targetPort = 8080, ...spec }: {
    readonly nodePort?: number;
    readonly targetPort?: number;
    readonly externalTrafficPolicy?: "Cluster" | "Local";
    readonly selector?: Record<string, string>;
  } = {},
): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      type: nodePort === undefined ? "ClusterIP" : "NodePort",
      ipFamilyPolicy: "PreferDualStack",
      selector: { app: name },
      ports: ["TCP", "UDP"].map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: 80,
        targetPort,
        ...(nodePort === undefined ? {} : { nodePort }),
      })),
      ...spec,
    },
  };
}

/** Name of the pod that answered, and the address of the client that it saw. */
export type Answer = `${string} sees ${string}` | "rejected" | "no answer";

/**
 * Asks addresses from a place, all at the same time: `http://10.96.0.10:80` by TCP, `udp://10.96.0.10:80` by UDP.
 * Returns the answers in the order of the addresses.
 */
export async function ask(cluster: Cluster, from: Place, urls: readonly string[]): Promise<Answer[]> {
  const output = await cluster.run(from, "bash", "-c", asking, "ask", ...urls);
  const answers = new Map(
    output.trim().split("\n").map((line) => {
      const [url = "", code = "", pod = "", client = ""] = line.split(" ");
      return [url, describeAnswer(Number(code), pod, client)];
    }),
  );
  return urls.map((url) => answers.get(url) ?? "no answer");
}

const asking = Deno.readTextFileSync(new URL("ask.sh", import.meta.url));

function describeAnswer(code: number, pod: string, client: string): Answer {
  if (code === 0 && pod !== "") return `${pod} sees ${addressOf(client)}`;
  return code === 7 ? "rejected" : "no answer";
}

/** Address without the port: "10.244.1.2:4711", "[fd00::1]:4711". */
function addressOf(client: string): string {
  return client.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1").replace(/^::ffff:/, "");
}

/** Addresses of a port for `ask`, by TCP and by UDP. */
export function urlsOf(address: string, port: number): string[] {
  const host = address.includes(":") ? `[${address}]` : address;
  return [`http://${host}:${port}`, `udp://${host}:${port}`];
}

/** Waits until the pods of a namespace are ready. Returns their addresses by name, IPv4 first if there are both. */
export async function podAddresses(
  cluster: Cluster,
  namespace: string,
): Promise<Record<string, readonly string[]>> {
  await cluster.kubectl(
    "--namespace",
    namespace,
    "wait",
    "--for=condition=Ready",
    "pod",
    "--all",
    "--timeout=120s",
  );
  const { items } = await cluster.get("--namespace", namespace, "pods");
  return Object.fromEntries(
    items.map((
      { metadata, status }: KubernetesObject,
    ) => [metadata.name, status.podIPs.map(({ ip }: { ip: string }) => ip)]),
  );
}

/** ClusterIPs of the Services of a namespace by name, IPv4 first if there are both. */
export async function serviceAddresses(
  cluster: Cluster,
  namespace: string,
): Promise<Record<string, readonly string[]>> {
  const { items } = await cluster.get("--namespace", namespace, "services");
  return Object.fromEntries(
    items.map(({ metadata, spec }: KubernetesObject) => [metadata.name, spec.clusterIPs]),
  );
}
