import { run } from "../../integration/support/network_namespace.ts";

/** Addresses of the benchmark's network. Clients reach the server through the node. */
export const NODE = "10.91.1.1";
export const SERVER = "10.91.2.2";
const CLIENT = "10.91.1.2";
const NODE_OF_SERVER = "10.91.2.1";

/** "alone" is connected with nothing. */
const places = ["client", "node", "server", "alone"] as const;
export type Place = typeof places[number];

/** Time limit for the start of a program. */
const ANSWER_MS = 30_000;

/** Three network namespaces in a row, connected by veth pairs, another one, and the programs that run in them. */
export class BenchNetwork implements AsyncDisposable {
  readonly #prefix = `bench${Deno.pid}-`;
  readonly #programs: Deno.ChildProcess[] = [];
  /** For programs and their files. */
  readonly directory = Deno.makeTempDirSync({ prefix: "bench-userspace-" });

  /** @param sources source addresses of the client, in addition to its own. */
  static async make(sources: readonly string[] = []): Promise<BenchNetwork> {
    const network = new BenchNetwork();
    try {
      for (const place of places) {
        await run("ip", "netns", "add", network.name(place));
        await run("ip", "-n", network.name(place), "link", "set", "lo", "up");
      }
      await network.#connect("client", CLIENT, NODE);
      await network.#connect("server", SERVER, NODE_OF_SERVER);
      await network.run("node", "sysctl", "-qw", "net.ipv4.ip_forward=1");
      // Relays of all kinds would run out of local ports otherwise. Mode userspace sets it.
      await network.run("node", "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1");
      // A relayed connection takes two entries for this time. Without it, all of them would fill the machine's table.
      await network.run("node", "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=3");
      for (const source of sources) {
        await network.ip("client", "address", "add", `${source}/24`, "dev", "eth");
      }
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  name(place: Place): string {
    return `${this.#prefix}${place}`;
  }

  async ip(place: Place, ...args: readonly string[]): Promise<void> {
    await run("ip", "-n", this.name(place), ...args);
  }

  /** Connects a machine with the node, which is its router. */
  async #connect(place: Place, address: string, node: string): Promise<void> {
    const peer = ["type", "veth", "peer", "name", place, "netns", this.name("node")];
    await run("ip", "link", "add", "eth", "netns", this.name(place), ...peer);
    await this.ip(place, "address", "add", `${address}/24`, "dev", "eth");
    await this.ip("node", "address", "add", `${node}/24`, "dev", place);
    await this.ip(place, "link", "set", "eth", "up");
    await this.ip("node", "link", "set", place, "up");
    await this.ip(place, "route", "add", "default", "via", node);
  }

  /** Runs a command in a namespace. @returns its output. */
  async run(place: Place, ...command: readonly string[]): Promise<string> {
    return (await run("ip", "netns", "exec", this.name(place), ...command)).trim();
  }

  /** Starts a program that runs until the end of the benchmark. @returns its process ID. */
  start(place: Place, ...command: readonly string[]): number {
    return this.#spawn(place, command, "null").pid;
  }

  #spawn(place: Place, command: readonly string[], stdout: "piped" | "null"): Deno.ChildProcess {
    const args = ["netns", "exec", this.name(place), ...command];
    const options = { args, stdin: "null", stdout, stderr: "inherit" } as const;
    const program = new Deno.Command("ip", options).spawn();
    this.#programs.push(program);
    return program;
  }

  /** Compiles a C program of this directory. @returns its path. */
  async compile(name: string, ...options: readonly string[]): Promise<string> {
    const program = `${this.directory}/${name}`;
    const source = new URL(`${name}.c`, import.meta.url).pathname;
    await run("clang", "-O2", "-o", program, source, ...options);
    return program;
  }

  /** Starts a program. @returns the first line that it prints. */
  async firstLine(place: Place, ...command: readonly string[]): Promise<string> {
    const program = this.#spawn(place, command, "piped");
    let text = "";
    for await (const part of program.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes("\n")) break;
    }
    return text.trim();
  }

  /** Waits until a client can connect and gets an answer from an echo server. */
  async answers(echo: string, address: string, port: number): Promise<void> {
    const deadline = performance.now() + ANSWER_MS;
    while (performance.now() < deadline) {
      const said = await this.run("client", echo, "connect", address, `${port}`, "0.1", CLIENT);
      if (Number(said.split(" ")[0]) > 0) return;
    }
    throw new Error(`${address}:${port} does not answer`);
  }

  /** Translates connections to SERVICE:SERVICE_PORT as a kernel mode does, without a relay. */
  async translate(port: number): Promise<void> {
    const rule = `ip daddr ${SERVICE} tcp dport ${SERVICE_PORT} dnat to ${SERVER}:${port}`;
    const rules =
      `table ip bench { chain prerouting { type nat hook prerouting priority dstnat; ${rule}; }; }`;
    await Deno.writeTextFile(`${this.directory}/rules`, rules);
    await this.run("node", "nft", "-f", `${this.directory}/rules`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) {
      try {
        program.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await program.status;
    }
    for (const place of places) await run("ip", "netns", "del", this.name(place)).catch(() => {});
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** Service address of `translate`. */
export const SERVICE = "10.96.0.10";
export const SERVICE_PORT = 80;
