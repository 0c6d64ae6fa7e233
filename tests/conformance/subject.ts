import { stringify } from "yaml";
import type { Lab } from "../lab/lab.ts";
import { beforeNextLook, slowness } from "../lab/pace.ts";
import { ProxyProcess } from "../lab/proxy.ts";
import type { KubernetesObject } from "./objects.ts";
import { type KernelState, kernelStates } from "./kernel_state.ts";

/** What the scenarios are run against: a service proxy on the lab's node, and what feeds it. */
export interface Subject extends AsyncDisposable {
  /**
   * Sockets of this node and of its pods are given the address of an endpoint when they connect (mode ebpf): their
   * packets are not translated, and what is connected in UDP ends with its endpoint.
   */
  readonly balancesSockets: boolean;
  /** What changes at once is in force at once: nf_tables has transactions, IPVS and BPF maps do not. */
  readonly hasTransactions: boolean;
  /** Makes these the objects that exist, and no others. */
  publish(objects: readonly KubernetesObject[]): Promise<void>;
  /** Has the proxy running with these flags: it is started, left as it is, or exchanged. */
  run(flags: readonly string[]): Promise<void>;
  /** Ends it by the signal. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Starts it again with the same flags. */
  start(): void;
  /** What of services is in the kernel, in words: empty when none has been published, or all are gone. */
  leftovers(): Promise<readonly string[]>;
  /** Starts over from a clean kernel, after a scenario that left something behind. */
  reset(): Promise<void>;
  /** @throws when it does not run, with its last words. */
  mustRun(): void;
  readonly log: string;
}

/** The built proxy, fed by a directory of manifests. */
export class ManifestSubject implements Subject {
  readonly #directory: string;
  readonly #state: KernelState;
  readonly balancesSockets: boolean;
  readonly hasTransactions: boolean;
  #flags: readonly string[] = [];
  #proxy: ProxyProcess | undefined;
  /** The kernel before the first service. */
  #pristine: ReadonlySet<string> = new Set();

  constructor(private readonly lab: Lab, private readonly mode: string) {
    const state = kernelStates[mode];
    if (!state) throw new Error(`no kernel state is known for mode ${mode}: add it to kernel_state.ts`);
    this.#state = state;
    this.balancesSockets = mode === "ebpf";
    this.hasTransactions = mode === "nftables" || mode === "iptables";
    this.#directory = `${lab.directory}/manifests`;
    Deno.mkdirSync(this.#directory);
  }

  /** One file, replaced by renaming: all that changes at once is seen at once. */
  async publish(objects: readonly KubernetesObject[]): Promise<void> {
    const written = `${this.lab.directory}/objects.yaml`;
    await Deno.writeTextFile(written, objects.map((object) => "---\n" + stringify(object)).join(""));
    await Deno.rename(written, `${this.#directory}/objects.yaml`);
  }

  async run(flags: readonly string[]): Promise<void> {
    if (this.#proxy && flags.join() === this.#flags.join()) return;
    // What the last one left would pass for the first programming of the next.
    await this.reset();
    this.#flags = flags;
    this.start();
    this.#pristine = await this.#untilProgrammed();
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#proxy?.stop(signal);
    this.#proxy = undefined;
  }

  start(): void {
    this.#proxy = new ProxyProcess(this.lab, this.#directory, this.mode, this.#flags);
  }

  async leftovers(): Promise<readonly string[]> {
    const now = await this.#state(this.lab);
    return [
      ...[...now.difference(this.#pristine)].map((object) => `left: ${object}`),
      ...[...this.#pristine.difference(now)].map((object) => `gone: ${object}`),
    ];
  }

  async reset(): Promise<void> {
    await this.stop("SIGTERM");
    await this.lab.run("node", ["nft", "flush", "ruleset"]);
    await this.lab.run("node", ["conntrack", "-F"]);
    if (this.mode === "ebpf") {
      await Deno.remove(this.lab.socketPlace.bpffs, { recursive: true }).catch(() => {});
    }
    if (this.mode !== "ipvs") return;
    await this.lab.run("node", ["ipvsadm", "--clear"]);
    await this.lab.run("node", ["ip", "link", "delete", "kube-ipvs0"]);
  }

  mustRun(): void {
    this.#proxy?.mustRun();
  }

  get log(): string {
    return this.#proxy?.log ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy?.stop();
  }

  /** The first programming, of both families. */
  async #untilProgrammed(): Promise<ReadonlySet<string>> {
    const until = Date.now() + 15_000 * slowness;
    for (;;) {
      this.mustRun();
      // A listing that is taken while tables come may have half of them.
      const isProgrammed = this.log.includes("Reconciled the kernel");
      const state = isProgrammed && await this.#state(this.lab).catch(() => undefined);
      if (state) return state;
      if (Date.now() > until) {
        throw new Error(`the proxy programmed nothing in ${15 * slowness} s:\n${this.log.slice(-2000)}`);
      }
      await beforeNextLook(20);
    }
  }
}
