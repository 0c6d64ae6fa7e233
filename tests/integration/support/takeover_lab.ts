import type { ProxyMode } from "../../../backends/registry.ts";
import { peers } from "../../lab/cache.ts";
import type { Lab } from "../../lab/lab.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { machines, podCidrs } from "../../lab/topology.ts";
import { nftFlavour } from "../iptables/support/nft_flavour.ts";

const controlPlane = new URL("../../../scripts/control-plane.sh", import.meta.url).pathname;
const publisher = new URL("../../lab/api_publisher.py", import.meta.url).pathname;

/** Place where a control plane runs: the lab, or a single namespace that acts as its node. */
export interface Surroundings {
  readonly directory: string;
  spawn(on: "node", command: readonly string[], options: Deno.CommandOptions): Deno.ChildProcess;
  run(on: "node", command: readonly string[]): Promise<{ readonly code: number; readonly stderr: string }>;
}

/** A real control plane on the lab's node, and the publisher of its objects. */
export class LabControlPlane implements AsyncDisposable {
  readonly #directory: string;
  readonly #publisher: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ReadableStreamDefaultReader<string>;

  private constructor(private readonly lab: Surroundings, directory: string) {
    this.#directory = directory;
    this.#publisher = lab.spawn("node", ["python3", publisher, directory], {
      stdin: "piped",
      stdout: "piped",
    });
    this.#orders = this.#publisher.stdin.getWriter();
    this.#answers = this.#publisher.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async start(lab: Surroundings): Promise<LabControlPlane> {
    const directory = `${lab.directory}/control-plane`;
    const { code, stderr } = await lab.run("node", [controlPlane, "start", directory]);
    if (code !== 0) throw new Error(stderr);
    return new LabControlPlane(lab, directory);
  }

  get kubeconfig(): string {
    return `${this.#directory}/kubeconfig`;
  }

  /** Makes exactly these objects exist, besides the cluster's own. */
  async publish(objects: readonly object[]): Promise<void> {
    await this.#orders.write(new TextEncoder().encode(JSON.stringify(objects) + "\n"));
    const { value } = await this.#answers.read();
    if (value?.trim() !== "") throw new Error(`the API server refuses: ${value}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close();
    await this.#publisher.status;
    await this.#answers.cancel();
    await this.lab.run("node", [controlPlane, "stop", this.#directory]);
  }
}

/** Has addresses, because kube-proxy otherwise waits 30 s for them at its start. */
export const nodeObject = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "here" },
  status: { addresses: [{ type: "InternalIP", address: machines.node.addresses.IPv4 }] },
};

/** Suffix for test names with the missing programs of a control plane; "" when all are present. */
export const missingPeers = whatIsMissing(["etcd", "kube-apiserver", "kube-proxy"]);

function whatIsMissing(names: readonly string[]): string {
  const missing = names.filter((name) => !exists(`${peers}/${name}`));
  return missing.length > 0 ? ` (skipped: no ${missing.join(", ")} in ${peers})` : "";
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** This proxy or kube-proxy on the lab's node, following its control plane. */
export class RunningProxy implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #logged: Promise<void>;
  log = "";

  constructor(
    lab: Lab,
    plane: LabControlPlane,
    readonly who: "kube-proxy" | "proxy",
    mode: ProxyMode = "nftables",
  ) {
    const binary = who === "proxy" ? proxyBinary : `${peers}/kube-proxy`;
    const flags = [
      `--kubeconfig=${plane.kubeconfig}`,
      "--hostname-override=here",
      `--proxy-mode=${mode}`,
      `--cluster-cidr=${podCidrs.here.IPv4},${podCidrs.here.IPv6}`,
      ...(who === "proxy" ? [] : [
        "--conntrack-max-per-core=0",
        "--iptables-min-sync-period=100ms",
        "--ipvs-min-sync-period=100ms",
      ]),
    ];
    this.#process = lab.spawn("node", [binary, ...flags], {
      env: nftFlavour(lab.directory),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    });
    this.#logged = this.#collect();
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#logged;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.kill();
    } catch (error) {
      // It has exited already.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async #collect(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) this.log += text;
  }
}
