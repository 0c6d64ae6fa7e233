import type { Lab } from "../../lab/lab.ts";
import { mergeFlags } from "../../lab/proxy.ts";
import { podCidrs } from "../../lab/topology.ts";
import type { KubernetesObject } from "../runner/objects.ts";
import type { Subject } from "./subject.ts";
import { peers } from "../../lab/cache.ts";

/**
 * kube-proxy with a real API server. It shows whether a scenario also describes upstream behaviour. Needs
 * `scripts/peers.sh`. The API server rejects objects that it cannot hold, for example two services with one NodePort.
 */
export class KubeProxySubject implements Subject {
  readonly balancesSockets = false;
  readonly relays = false;
  readonly hasTransactions = true;
  readonly #directory: string;
  readonly #publisher: Deno.ChildProcess;
  readonly #requests: WritableStreamDefaultWriter<string>;
  readonly #answers: ReadableStreamDefaultReader<string>;
  #flags: readonly string[] = [];
  #proxy: Deno.ChildProcess | undefined;
  #log = "";

  private constructor(private readonly lab: Lab, private readonly mode: string, directory: string) {
    this.#directory = directory;
    const command = ["python3", new URL("../../lab/api_publisher.py", import.meta.url).pathname, directory];
    this.#publisher = lab.spawn("node", command, { stdin: "piped", stdout: "piped" });
    const requests = new TextEncoderStream();
    requests.readable.pipeTo(this.#publisher.stdin);
    this.#requests = requests.writable.getWriter();
    this.#answers = this.#publisher.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async create(lab: Lab, mode: string): Promise<KubeProxySubject> {
    const directory = `${lab.directory}/control-plane`;
    const { code, stderr } = await lab.run("node", [controlPlane, "start", directory]);
    if (code !== 0) throw new Error(stderr);
    return new KubeProxySubject(lab, mode, directory);
  }

  async publish(objects: readonly KubernetesObject[]): Promise<void> {
    await this.#requests.write(JSON.stringify(objects) + "\n");
    const { value } = await this.#answers.read();
    if (value?.trim() !== "") throw new Error(`the API server rejects: ${value}`);
  }

  async run(flags: readonly string[]): Promise<void> {
    if (this.#proxy && flags.join() === this.#flags.join()) return;
    await this.reset();
    this.#flags = flags;
    this.start();
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#proxy?.kill(signal);
    await this.#proxy?.status;
    this.#proxy = undefined;
  }

  /** Always empty: upstream removes chains and affinity sets with a later change. */
  leftovers(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async reset(): Promise<void> {
    await this.stop("SIGTERM");
    await this.lab.run("node", ["nft", "flush", "ruleset"]);
  }

  assertRunning(): void {}

  get log(): string {
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGTERM");
    await this.#requests.close();
    await this.#publisher.status;
    await this.lab.run("node", [controlPlane, "stop", this.#directory]);
  }

  start(): void {
    const shared = [
      `--kubeconfig=${this.#directory}/kubeconfig`,
      "--hostname-override=here",
      `--proxy-mode=${this.mode}`,
      `--cluster-cidr=${podCidrs.here.IPv4},${podCidrs.here.IPv6}`,
      "--iptables-min-sync-period=100ms",
      "--conntrack-max-per-core=0",
    ];
    this.#proxy = this.lab.spawn("node", [kubeProxy, ...mergeFlags(shared, this.#flags)], {
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    });
    this.#collect(this.#proxy.stderr);
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.#log += text;
  }
}

const controlPlane = new URL("../../../scripts/control-plane.sh", import.meta.url).pathname;
export const kubeProxy = `${peers}/kube-proxy`;
