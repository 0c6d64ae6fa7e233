import { Cluster, type KubernetesObject } from "./cluster.ts";
import { onNode, outside } from "./places.ts";
import { cache, peers } from "../../lab/cache.ts";

const root = new URL("../../..", import.meta.url).pathname;
/** Name that scripts/cluster.sh gives the image of the proxy. */
const built = "localhost/proxy:cluster";
/** Ranges of the pods in scripts/cluster/settings.sh. */
const podRanges = ["10.244.0.0/16", "fd00:10:244::/56"];

/** Values for the placeholders of a documented command. */
export interface Substitutes {
  /** In place of mode nftables, which the commands name. */
  readonly mode?: string;
  readonly version?: string;
}

/** Runs documented commands as an administrator of the cluster, in a copy of the folder that they refer to. */
export class Installation implements AsyncDisposable {
  readonly kubeProxyImage = "registry.k8s.io/kube-proxy:v1.37.1";

  private constructor(
    private readonly cluster: Cluster,
    private readonly directory: string,
    private readonly server: string,
    private readonly cgroup: string,
    /** Name of the image in the manifests. */
    readonly image: string,
  ) {}

  /** Builds helm, and the image of the proxy. */
  static async prepare(): Promise<void> {
    await script("scripts/peers.sh", "helm");
    await script("scripts/build.sh");
    await script("scripts/image.sh", built);
  }

  /** Copies the folder, and writes into the files what the documentation says. */
  static async on(cluster: Cluster): Promise<Installation> {
    const { version } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
    const image = `localhost/proxy:${version}`;
    for (const node of cluster.nodes) {
      const ctr = [`${peers}/ctr`, "--namespace", "k8s.io", "images"];
      await cluster.run(onNode(node), ...ctr, "tag", "--force", built, image);
    }
    const server = await cluster.kubectl(
      "config",
      "view",
      "--output=jsonpath={.clusters[0].cluster.server}",
    );
    const find = "findmnt --noheadings --output TARGET --types cgroup2 | head -n 1";
    const cgroup = (await cluster.run(onNode(cluster.nodes[0]!), "bash", "-c", find)).trim();
    const directory = await Deno.makeTempDir();
    const installation = new Installation(cluster, directory, server, cgroup, image);
    await installation.#writeFiles();
    return installation;
  }

  async #writeFiles(): Promise<void> {
    await script("cp", "-r", "deploy", this.directory);
    const kustomizations = `${this.directory}/deploy/kubernetes`;
    await edit(`${kustomizations}/base/kubeconfig.conf`, "https://api-server.example:6443", this.server);
    for (const folder of ["base", "overlays/iptables", "overlays/ebpf"]) {
      await edit(`${kustomizations}/${folder}/config.conf`, podRanges[0]!, podRanges.join());
    }
    await edit(
      `${kustomizations}/overlays/ebpf/daemonset.yaml`,
      "path: /sys/fs/cgroup,",
      `path: ${this.cgroup},`,
    );
  }

  /** Runs a documented command to its end. */
  async run(command: string, { mode = "nftables", version = "" }: Substitutes = {}): Promise<void> {
    // In the shell's and helm's notation, a comma is `\\,`.
    const line = command.replace("https://API-SERVER:6443", this.server)
      .replace(podRanges[0]!, podRanges.join("\\\\,"))
      .replace(/\bmode=nftables\b/, `mode=${mode},cgroup=${this.cgroup}`)
      .replace(/\boverlays\/nftables\b/, `overlays/${mode}`)
      .replace("VERSION", version);
    const unset = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].flatMap((name) => ["-u", name]);
    await this.cluster.run(
      outside,
      "env",
      ...unset,
      `--chdir=${this.directory}`,
      `HOME=${this.directory}`,
      `KUBECONFIG=${cache}/cluster/${Cluster.name}/run/kubeconfig`,
      `PATH=${peers}:${Deno.env.get("PATH")}`,
      "bash",
      "-ec",
      line,
    );
  }

  /** Deploys kube-proxy with the configuration that kubeadm writes, which leaves the mode blank. */
  async deployKubeProxyAsKubeadm(): Promise<void> {
    await this.cluster.deploy("kube-proxy:iptables");
    const inSystem = ["--namespace", "kube-system"];
    const { data, metadata } = await this.cluster.get(...inSystem, "configmap", "kube-proxy");
    const configuration = data["config.conf"].replace("mode: iptables", 'mode: ""');
    await this.cluster.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: metadata.name, namespace: metadata.namespace },
      data: { ...data, "config.conf": configuration },
    });
    await this.cluster.kubectl(...inSystem, "rollout", "restart", "daemonset/kube-proxy");
    await this.cluster.rolledOut("kube-system", "daemonset/kube-proxy");
  }

  /** Images of the service proxies, without repetition, as their pods name them. */
  async imagesThatServe(): Promise<readonly string[]> {
    const { items } = await this.cluster.get("--namespace", "kube-system", "pods");
    const names = items.flatMap(({ spec }: KubernetesObject) => spec.containers)
      .filter(({ name }: KubernetesObject) => ["proxy", "kube-proxy"].includes(name))
      .map(({ image }: KubernetesObject) => image);
    return [...new Set<string>(names)];
  }

  /** Names of the objects of the proxy; "" if there are none. */
  async remains(): Promise<string> {
    return await this.cluster.kubectl(
      ...[
        "--namespace",
        "kube-system",
        "get",
        "daemonset,serviceaccount,configmap,clusterrolebinding,secret",
      ],
      ...["--selector", "app.kubernetes.io/name=proxy", "--output", "name"],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

async function edit(path: string, from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(path);
  if (!text.includes(from)) throw new Error(`${path} does not contain ${from}`);
  await Deno.writeTextFile(path, text.replace(from, to));
}

async function script(command: string, ...args: readonly string[]): Promise<void> {
  const { code } = await new Deno.Command(command, { args: [...args], cwd: root, stdout: "inherit" })
    .output();
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed with exit code ${code}`);
}
