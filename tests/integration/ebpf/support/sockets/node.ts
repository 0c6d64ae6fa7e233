import assert from "node:assert/strict";
import type { EbpfOptions } from "../../../../../backends/ebpf/options.ts";
import type { BackendProcess } from "../../../support/backend_process.ts";
import { startEbpf } from "../../../support/ebpf_process.ts";
import { NetworkNamespace } from "../../../support/network_namespace.ts";
import { PrivateMounts } from "../private_mounts.ts";
import { Sockets } from "./sockets.ts";

/**
 * A node with pods: a network namespace with a bridge, a network namespace per pod, a cgroup for all their
 * processes, and a BPF file system.
 */
export class TestNode implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  #mounts: PrivateMounts | undefined;
  #network: NetworkNamespace | undefined;
  #pods = 0;

  static async make(): Promise<TestNode> {
    const node = new TestNode();
    try {
      await node.#make();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get bpffs(): string {
    assert(this.#mounts !== undefined);
    return this.#mounts.bpffs;
  }

  get cgroup(): string {
    assert(this.#mounts !== undefined);
    return this.#mounts.cgroup;
  }

  get network(): NetworkNamespace {
    assert(this.#network !== undefined);
    return this.#network;
  }

  /**
   * Starts the backend in a process of its own. The caller disposes of it.
   * @param wrapper a command that runs the process.
   */
  startBackend(options: Partial<EbpfOptions> = {}, wrapper: readonly string[] = []): BackendProcess {
    return startEbpf(this.network, this, options, wrapper);
  }

  /** Starts a process of the node itself. */
  async startSockets(): Promise<Sockets> {
    return this.#stack.use(await Sockets.start(this.network.name, this.cgroup));
  }

  /** Adds a pod with the addresses 10.1.0.N and fd00:1::N, and one process in the cgroup. */
  async addPod(): Promise<Pod> {
    const number = ++this.#pods + 1;
    const namespace = this.#stack.use(await NetworkNamespace.make());
    const device = `pod${number}`;
    const ipv4 = `10.1.0.${number}`;
    const ipv6 = `fd00:1::${number}`;
    const veth = ["link", "add", device, "type", "veth", "peer", "eth0", "netns", namespace.name];
    await this.network.run("ip", ...veth);
    await this.network.run("ip", "link", "set", device, "master", "br0", "up");
    await namespace.run("ip", "link", "set", "lo", "up");
    await namespace.run("ip", "link", "set", "eth0", "up");
    await namespace.run("ip", "address", "add", `${ipv4}/24`, "dev", "eth0");
    await namespace.run("ip", "address", "add", `${ipv6}/64`, "dev", "eth0", "nodad");
    await namespace.run("ip", "route", "add", "default", "via", "10.1.0.1");
    await namespace.run("ip", "route", "add", "default", "via", "fd00:1::1");
    const sockets = this.#stack.use(await Sockets.start(namespace.name, this.cgroup));
    return { ipv4, ipv6, sockets, namespace };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #make(): Promise<void> {
    this.#mounts = this.#stack.use(await PrivateMounts.make());
    this.#network = this.#stack.use(await NetworkNamespace.make());
    await this.network.run("ip", "link", "set", "lo", "up");
    await this.network.run("ip", "link", "add", "br0", "type", "bridge");
    await this.network.run("ip", "link", "set", "br0", "up");
    await this.network.run("ip", "address", "add", "10.1.0.1/24", "dev", "br0");
    await this.network.run("ip", "address", "add", "fd00:1::1/64", "dev", "br0", "nodad");
  }
}

export interface Pod {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly sockets: Sockets;
  readonly namespace: NetworkNamespace;
}
