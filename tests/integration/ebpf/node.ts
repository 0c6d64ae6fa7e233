import assert from "node:assert/strict";
import type { EbpfOptions } from "../../../backends/ebpf/options.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { NetworkNamespace, run } from "../support/network_namespace.ts";

const agent = new URL("./sockets.py", import.meta.url).pathname;

/**
 * A node with pods: a network namespace with a bridge, one for each pod, a cgroup that all their processes are in,
 * and a BPF file system of its own.
 */
export class TestNode implements AsyncDisposable {
  readonly name = `ebpf-test-${crypto.randomUUID().slice(0, 8)}`;
  readonly #directory = `/run/${this.name}`;
  readonly #stack = new AsyncDisposableStack();
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

  get options(): Partial<EbpfOptions> {
    return { bpffs: this.bpffs, cgroup: this.cgroup };
  }

  get bpffs(): string {
    return `${this.#directory}/bpf/proxy`;
  }

  get cgroup(): string {
    return `${this.#directory}/cgroup/${this.name}`;
  }

  get network(): NetworkNamespace {
    assert(this.#network !== undefined);
    return this.#network;
  }

  /** The backend in a process of its own, which ends with the scope it is used in. */
  startBackend(options: Partial<EbpfOptions> = {}, wrapper: readonly string[] = []): BackendProcess {
    const given = JSON.stringify({ ...this.options, ...options });
    return new BackendProcess("ebpf", this.network, ["env", `EBPF_OPTIONS=${given}`, ...wrapper]);
  }

  /** A process of the node itself. */
  async startHere(): Promise<Sockets> {
    return this.#stack.use(await Sockets.start(this.network.name, this.cgroup));
  }

  /** A pod with an IPv4 and an IPv6 address, 10.1.0.N and fd00:1::N; in its cgroup one is a process. */
  async addPod(): Promise<Pod> {
    const number = ++this.#pods + 1;
    const namespace = this.#stack.use(await NetworkNamespace.make());
    const device = `pod${number}`;
    const ipv4 = `10.1.0.${number}`;
    const ipv6 = `fd00:1::${number}`;
    await this.network.run(
      "ip",
      "link",
      "add",
      device,
      "type",
      "veth",
      "peer",
      "eth0",
      "netns",
      namespace.name,
    );
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
    await Deno.mkdir(`${this.#directory}/bpf`, { recursive: true });
    await Deno.mkdir(`${this.#directory}/cgroup`);
    this.#stack.defer(() => Deno.remove(this.#directory, { recursive: true }));
    await this.#mount("bpf", `${this.#directory}/bpf`);
    await this.#mount("cgroup2", `${this.#directory}/cgroup`);
    await Deno.mkdir(this.cgroup);
    this.#stack.defer(() => Deno.remove(this.cgroup));
    this.#network = this.#stack.use(await NetworkNamespace.make());
    await this.network.run("ip", "link", "set", "lo", "up");
    await this.network.run("ip", "link", "add", "br0", "type", "bridge");
    await this.network.run("ip", "link", "set", "br0", "up");
    await this.network.run("ip", "address", "add", "10.1.0.1/24", "dev", "br0");
    await this.network.run("ip", "address", "add", "fd00:1::1/64", "dev", "br0", "nodad");
  }

  async #mount(type: string, path: string): Promise<void> {
    await run("mount", "-t", type, type, path);
    this.#stack.defer(async () => {
      await run("umount", path);
    });
  }
}

export interface Pod {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly sockets: Sockets;
  readonly namespace: NetworkNamespace;
}

/** Whom a connected socket talks to. */
export interface Asked {
  readonly server: string;
  /** As the server sees the client. */
  readonly client: string;
  /** As the client sees the server. */
  readonly peer: string;
  readonly port: number;
}

/** Sockets of one process, opened on command: see sockets.py. */
export class Sockets implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncIterator<string>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#answers = lines(process.stdout);
  }

  static async start(namespace: string, cgroup: string): Promise<Sockets> {
    const sockets = new Sockets(
      new Deno.Command("ip", {
        args: ["netns", "exec", namespace, "python3", agent, cgroup],
        stdin: "piped",
        stdout: "piped",
      }).spawn(),
    );
    assert.equal((await sockets.#answers.next()).value, "{}");
    return sockets;
  }

  get pid(): number {
    return this.#process.pid;
  }

  serve(name: string, address: string, port: number): Promise<unknown> {
    return this.#do({ do: "serve", name, address, port });
  }

  connect(address: string, port: number, more: { protocol?: "UDP"; bind?: string } = {}): Promise<Asked> {
    return this.#do({ do: "connect", address, port, ...more });
  }

  /** How many connections each server got. */
  connectMany(
    address: string,
    port: number,
    count: number,
    more: { protocol?: "UDP" } = {},
  ): Promise<Readonly<Record<string, number>>> {
    return this.#do({ do: "connect_many", address, port, count, ...more });
  }

  /** One datagram socket connects over and over: how often, and how often with which error. */
  connectFor(
    address: string,
    port: number,
    seconds: number,
    bind: string,
  ): Promise<{ connections: number; errors: Readonly<Record<string, number>> }> {
    return this.#do({ do: "connect_for", address, port, seconds, bind });
  }

  /** Connects, and stays so under a name. */
  keep(name: string, address: string, port: number, more: { protocol?: "UDP" } = {}): Promise<Asked> {
    return this.#do({ do: "keep", name, address, port, ...more });
  }

  /** Begins to connect in TCP, and stays so under a name. */
  begin(name: string, address: string, port: number): Promise<{ readonly outcome: string }> {
    return this.#do({ do: "begin", name, address, port });
  }

  ask(name: string): Promise<Asked> {
    return this.#do({ do: "ask", name });
  }

  connectAgain(name: string, address: string, port: number): Promise<Asked> {
    return this.#do({ do: "connect_again", name, address, port });
  }

  /** Datagrams of one socket that is not connected, which stays open when it has a name. */
  send(
    address: string,
    port: number,
    more: { count?: number; name?: string } = {},
  ): Promise<{ servers: Readonly<Record<string, number>>; source: string; port: number }> {
    return this.#do({ do: "send", address, port, ...more });
  }

  /** One question each of many sockets. */
  askAnew(address: string, port: number, count: number): Promise<unknown> {
    return this.#do({ do: "ask_anew", address, port, count });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  /** @throws SocketError when the socket does. */
  async #do<Answer>(command: Readonly<Record<string, unknown>>): Promise<Answer> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
    const { value, done } = await this.#answers.next();
    assert(done !== true, "sockets.py ended");
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new SocketError(answer.error);
    return answer;
  }
}

export class SocketError extends Error {}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const complete = (rest + text).split("\n");
    rest = complete.pop() ?? "";
    yield* complete;
  }
}
