import { slowness } from "../../../lab/pace.ts";
import { proxyBinary } from "../../../lab/proxy.ts";
import { peers } from "../../../lab/cache.ts";
import { LabControlPlane } from "../../support/takeover_lab.ts";
import { nftFlavour } from "./nft_flavour.ts";
import type { NodeNamespace } from "./node_namespace.ts";

const MAX_WAIT_MS = 30_000 * slowness;

/** A process of a proxy in mode iptables on its own node. Runs until disposed. */
export class ComparedProxy implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #logged: Promise<void>;
  #log = "";
  #hasEnded = false;

  constructor(readonly node: NodeNamespace, command: readonly string[]) {
    this.#process = node.spawn("node", command, {
      env: nftFlavour(node.directory),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    this.#logged = Promise.all([this.#collect(this.#process.stdout), this.#collect(this.#process.stderr)])
      .then();
    this.#process.status.then(() => this.#hasEnded = true);
  }

  /** Waits until a rule with this comment is programmed. */
  async untilHas(comment: string): Promise<void> {
    const until = Date.now() + MAX_WAIT_MS;
    while (!await this.node.hasService(comment)) {
      if (this.#hasEnded) throw new Error(`the proxy has ended:\n${this.#log.slice(-3000)}`);
      if (Date.now() > until) {
        throw new Error(`no "${comment}" in ${MAX_WAIT_MS / 1000} s:\n${this.#log.slice(-3000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#logged;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.#log += text;
  }
}

/** kube-proxy, connected to the control plane on its node. */
export class Upstream {
  readonly #node: NodeNamespace;
  readonly #plane: LabControlPlane;

  constructor(node: NodeNamespace, plane: LabControlPlane) {
    this.#node = node;
    this.#plane = plane;
  }

  start(flags: readonly string[]): ComparedProxy {
    return new ComparedProxy(this.#node, [
      `${peers}/kube-proxy`,
      `--kubeconfig=${this.#plane.kubeconfig}`,
      "--conntrack-max-per-core=0",
      "--iptables-min-sync-period=100ms",
      ...commonFlags,
      ...flags,
    ]);
  }
}

/** Our proxy, with a directory of manifests. */
export class Ours {
  readonly #node: NodeNamespace;
  readonly #manifests: string;

  constructor(node: NodeNamespace) {
    this.#node = node;
    this.#manifests = `${node.directory}/manifests`;
    Deno.mkdirSync(this.#manifests);
  }

  /** Publishes all objects at once. @param objects YAML */
  publish(objects: string): void {
    const written = `${this.#node.directory}/objects.yaml`;
    Deno.writeTextFileSync(written, objects);
    Deno.renameSync(written, `${this.#manifests}/objects.yaml`);
  }

  start(flags: readonly string[]): ComparedProxy {
    return new ComparedProxy(this.#node, [
      proxyBinary,
      `--manifests=${this.#manifests}`,
      ...commonFlags,
      ...flags,
    ]);
  }
}

const commonFlags = ["--hostname-override=here", "--proxy-mode=iptables"];
