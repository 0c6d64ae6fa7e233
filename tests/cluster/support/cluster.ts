import { type Place, Places } from "./places.ts";

/** The program that serves Services, as `scripts/cluster.sh deploy` names it. */
export type Subject =
  | "nftables"
  | "iptables"
  | "ebpf"
  | "none"
  | "kube-proxy:nftables"
  | "kube-proxy:iptables";

export interface ClusterOptions {
  /** Number of nodes (default 2). */
  readonly nodes?: number;
  readonly subject: Subject;
  /** Families of Services, pods and nodes (default dual). */
  readonly families?: "dual" | "ipv4" | "ipv6";
  /** How pods are connected to their node (default bridge). A cluster that runs must have been started so. */
  readonly cni?: "bridge" | "ptp";
  /** Lines to add to the KubeProxyConfiguration. */
  readonly configuration?: string;
}

/** A Kubernetes object, or a part of one. */
// deno-lint-ignore no-explicit-any
export type KubernetesObject = any;

/** Time limit of most waits, in seconds. The nodes share their processors with other work. */
const WAIT_SECONDS = 120;

/**
 * A real cluster, started by scripts/cluster.sh. Its name is PROXY_CLUSTER, by default `test`. A cluster of this name
 * that already runs is used, and left running: so start one to repeat a test quickly.
 *
 *   await using cluster = await Cluster.start({ nodes: 2, subject: "nftables" });
 */
export class Cluster implements AsyncDisposable {
  static readonly name = Deno.env.get("PROXY_CLUSTER") ?? "test";
  readonly places: Places;

  private constructor(readonly nodes: readonly string[], private readonly isStartedHere: boolean) {
    this.places = new Places(this);
  }

  /** Starts the cluster, or deploys the subject in the one that runs. Builds what is missing. */
  static async start(
    { nodes = 2, subject, families = "dual", cni = "bridge", configuration }: ClusterOptions,
  ): Promise<Cluster> {
    const running = await runningNodes();
    if (running !== undefined) {
      if (running.length < nodes) {
        throw new Error(
          `cluster ${Cluster.name} runs with ${running.length} nodes, and ${nodes} are needed: ` +
            `end it (PROXY_CLUSTER=${Cluster.name} scripts/cluster.sh down), so that the test starts its own`,
        );
      }
      const cluster = new Cluster(running, false);
      await cluster.deploy(subject, configuration);
      return cluster;
    }
    // Its output is shown, because the first start builds everything and takes half an hour.
    await script(
      ["up", "--nodes", String(nodes), "--mode", subject, "--families", families, "--cni", cni],
      { shown: true, ...(configuration === undefined ? {} : { configuration }) },
    );
    return new Cluster(await runningNodes() ?? [], true);
  }

  /** Replaces what serves Services, as users do, and waits until the new pods are ready. */
  async deploy(subject: Subject, configuration?: string): Promise<void> {
    await script(["deploy", subject], configuration === undefined ? {} : { configuration });
  }

  /** Runs kubectl as an administrator, and returns its output. */
  kubectl(...args: readonly string[]): Promise<string> {
    return script(["kubectl", ...args]);
  }

  /** Returns an object, or a list of them: `get("pods", "--namespace", "traffic")`. */
  async get(...args: readonly string[]): Promise<KubernetesObject> {
    return JSON.parse(await this.kubectl("get", ...args, "--output", "json"));
  }

  /** Creates or changes objects by `kubectl apply`. */
  async apply(...objects: readonly KubernetesObject[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    await script(["kubectl", "apply", "--filename", "-"], { input: JSON.stringify(list) });
  }

  /** Waits until a DaemonSet or Deployment is rolled out: `rolledOut("traffic", "daemonset/server")`. */
  async rolledOut(namespace: string, workload: string): Promise<void> {
    await this.kubectl("--namespace", namespace, "rollout", "status", workload, `--timeout=${WAIT_SECONDS}s`);
  }

  /** Waits until a condition holds. */
  async until(what: string, condition: () => Promise<boolean>, seconds = WAIT_SECONDS): Promise<void> {
    const deadline = performance.now() + seconds * 1000;
    while (!await condition()) {
      if (performance.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Addresses of a node, IPv4 first if it has both. */
  async addressesOf(node: string): Promise<readonly string[]> {
    const { status } = await this.get("node", node);
    return status.addresses.filter(({ type }: KubernetesObject) => type === "InternalIP")
      .map(({ address }: KubernetesObject) => address);
  }

  /** Runs a program in a place to its end, and returns its output. Fails if the program fails. */
  async run(place: Place, ...command: readonly string[]): Promise<string> {
    return await script(["shell", ...await this.places.command(place, command)]);
  }

  /** Starts a program in a place. It must end when its standard input ends, because signals do not reach it. */
  async spawn(place: Place, ...command: readonly string[]): Promise<Deno.ChildProcess> {
    return start(["shell", ...await this.places.command(place, command)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isStartedHere) await script(["down"], { shown: true });
  }
}

/** Names of the nodes of the cluster that runs; undefined if none runs. */
async function runningNodes(): Promise<readonly string[] | undefined> {
  const command = ["get", "nodes", "--output", "jsonpath={.items[*].metadata.name}"];
  const { code, stdout, stderr } = await new Deno.Command("scripts/cluster.sh", {
    args: ["kubectl", ...command],
    cwd: root,
    env: environment(),
    stdin: "null",
  }).output();
  if (code === 0) return decode(stdout).split(" ");
  if (decode(stderr).includes("no cluster runs")) return undefined;
  throw new Error(`cluster ${Cluster.name} does not answer: ${decode(stderr)}`);
}

const root = new URL("../../..", import.meta.url).pathname;

interface ScriptOptions {
  readonly configuration?: string;
  readonly input?: string;
  /** Shows the output as it is written. */
  readonly shown?: boolean;
}

/** Runs scripts/cluster.sh for this cluster, and returns its output. Fails if the script fails. */
export async function script(args: readonly string[], options: ScriptOptions = {}): Promise<string> {
  const child = start(args, options);
  if (options.input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.input)).catch(() => {});
    await writer.close().catch(() => {});
  } else {
    await child.stdin.close();
  }
  const [stdout, stderr, { code }] = await Promise.all([
    read(child.stdout, options.shown),
    read(child.stderr, options.shown),
    child.status,
  ]);
  if (code !== 0) {
    throw new Error(
      `scripts/cluster.sh ${args.join(" ").slice(0, 300)}: ${stderr.slice(-3000) || `exit code ${code}`}`,
    );
  }
  return stdout;
}

function start(args: readonly string[], { configuration }: ScriptOptions = {}): Deno.ChildProcess {
  return new Deno.Command("scripts/cluster.sh", {
    args: [...args],
    cwd: root,
    env: { ...environment(), ...(configuration === undefined ? {} : { PROXY_CONFIGURATION: configuration }) },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

function environment(): Record<string, string> {
  return { PROXY_CLUSTER: Cluster.name };
}

async function read(stream: ReadableStream<Uint8Array>, shown = false): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    if (shown) await Deno.stderr.write(bytes);
  }
  return text;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
