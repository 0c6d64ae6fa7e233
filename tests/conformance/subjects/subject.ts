import { stringify } from "yaml";
import type { Lab } from "../../lab/lab.ts";
import { pollPause, slowness } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import type { KubernetesObject } from "../runner/objects.ts";
import { type KernelState, kernelStates } from "./kernel_state.ts";

/** Subject of a scenario: a service proxy on the node of the lab, and the source of its objects. */
export interface Subject extends AsyncDisposable {
  /**
   * Set if sockets of this node and of its pods are connected directly to an endpoint (mode ebpf). Their packets are
   * not translated, and a connected UDP socket ends with its endpoint.
   */
  readonly balancesSockets: boolean;
  /**
   * Set if connections end at the proxy, which opens others to endpoints (mode userspace). Endpoints see an address of
   * the node.
   */
  readonly relays: boolean;
  /**
   * Set if all effects of a sync are there at once. IPVS and BPF maps have no transactions, and after a transaction of
   * nf_tables this proxy still opens and closes its own listeners: health checks, node ports on loopback addresses.
   */
  readonly hasTransactions: boolean;
  /** Replaces all existing objects by these. */
  publish(objects: readonly KubernetesObject[]): Promise<void>;
  /** Makes sure that a proxy with these flags runs. Restarts it only if the flags differ. */
  run(flags: readonly string[]): Promise<void>;
  /** Stops the proxy by a signal. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Starts the proxy again with the same flags. */
  start(): void;
  /** Differences of the kernel state from that without services, one description per object. */
  leftovers(): Promise<readonly string[]>;
  /** Stops the proxy and cleans the kernel, after a scenario that failed. */
  reset(): Promise<void>;
  /** @throws with the end of the log if the proxy has ended by itself. */
  assertRunning(): void;
  readonly log: string;
}

/** Scenarios are about the reasons for which a UDP flow leaves its endpoint, other than its idle time. */
const RELAY_FLAGS: readonly string[] = ["--udp-timeout=30s"];

/** The built proxy with a directory of manifests as its source. */
export class ManifestSubject implements Subject {
  readonly #directory: string;
  readonly #state: KernelState;
  readonly balancesSockets: boolean;
  readonly relays: boolean;
  readonly hasTransactions = false;
  #flags: readonly string[] = [];
  #proxy: ProxyProcess | undefined;
  /** Kernel state before the first service. */
  #initialState: ReadonlySet<string> = new Set();

  constructor(private readonly lab: Lab, private readonly mode: string) {
    const state = kernelStates[mode];
    if (!state) throw new Error(`kernel_state.ts has no entry for mode ${mode}; add one`);
    this.#state = state;
    this.balancesSockets = mode === "ebpf";
    this.relays = mode === "userspace";
    this.#directory = `${lab.directory}/manifests`;
    Deno.mkdirSync(this.#directory);
  }

  /** Writes one file and renames it, so that the proxy sees all changes at once. */
  async publish(objects: readonly KubernetesObject[]): Promise<void> {
    const temporary = `${this.lab.directory}/objects.yaml`;
    await Deno.writeTextFile(temporary, objects.map((object) => "---\n" + stringify(object)).join(""));
    await Deno.rename(temporary, `${this.#directory}/objects.yaml`);
  }

  async run(flags: readonly string[]): Promise<void> {
    if (this.#proxy && flags.join() === this.#flags.join()) return;
    // Leftovers of the previous process would be mistaken for the first reconcile of the next one.
    await this.reset();
    this.#flags = flags;
    this.start();
    this.#initialState = await this.#waitUntilReconciled();
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#proxy?.stop(signal);
    this.#proxy = undefined;
  }

  start(): void {
    const flags = this.relays ? [...RELAY_FLAGS, ...this.#flags] : this.#flags;
    this.#proxy = new ProxyProcess(this.lab, this.#directory, this.mode, flags);
  }

  async leftovers(): Promise<readonly string[]> {
    const now = await this.#state(this.lab);
    return [
      ...[...now.difference(this.#initialState)].map((object) => `leftover: ${object}`),
      ...[...this.#initialState.difference(now)].map((object) => `missing: ${object}`),
    ];
  }

  async reset(): Promise<void> {
    await this.stop("SIGTERM");
    await this.lab.run("node", ["nft", "flush", "ruleset"]);
    await this.lab.run("node", ["conntrack", "-F"]);
    if (this.mode === "ebpf") {
      await Deno.remove(this.lab.ebpfMounts.bpffs, { recursive: true }).catch(() => {});
    }
    if (this.mode !== "ipvs") return;
    await this.lab.run("node", ["ipvsadm", "--clear"]);
    await this.lab.run("node", ["ip", "link", "delete", "kube-ipvs0"]);
  }

  assertRunning(): void {
    this.#proxy?.assertRunning();
  }

  get log(): string {
    return this.#proxy?.log ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy?.stop();
  }

  /** Waits for the first reconcile, of both families, and returns the kernel state after it. */
  async #waitUntilReconciled(): Promise<ReadonlySet<string>> {
    const deadline = Date.now() + 15_000 * slowness;
    for (;;) {
      this.assertRunning();
      // Wait for the log message first: a listing taken during the reconcile may be incomplete.
      const isReconciled = this.log.includes("Reconciled the kernel");
      const state = isReconciled && await this.#state(this.lab).catch(() => undefined);
      if (state) return state;
      if (Date.now() > deadline) {
        throw new Error(`no reconcile of the proxy within ${15 * slowness} s:\n${this.log.slice(-2000)}`);
      }
      await pollPause(20);
    }
  }
}
