import { families } from "../../core/net/protocol.ts";
import { Agent, isAnswered } from "./agent.ts";
import { slowness } from "./pace.ts";
import { makeSocketPlace, type SocketPlace, socketPlaceIn } from "./socket_place.ts";
import { type MachineName, machines, namespaces, servedPorts } from "./topology.ts";
import { sysctls, wiring } from "./wiring.ts";

/**
 * The sandbox of topology.ts, made of network namespaces with an agent in each. Deleting namespaces stalls
 * nf_tables for everyone, so build it once and keep it through many tests. Needs root.
 */
export class Lab implements AsyncDisposable {
  /** Begins the names of the namespaces; unique among running processes. */
  readonly prefix = `px${Deno.pid}`;
  /** For files of the programs in the lab; removed with it. */
  readonly directory = Deno.makeTempDirSync({ prefix: `${this.prefix}-` });
  readonly #keeper: Deno.ChildProcess;
  readonly #agents = new Map<string, Agent>();

  private constructor() {
    const args = [this.prefix, this.directory];
    this.#keeper = new Deno.Command(labFile("keeper.sh"), { args, stdin: "piped" }).spawn();
  }

  /**
   * @param withSockets makes socketPlace, and puts the agents of this node and of its pods there.
   * @throws when a namespace cannot be made (no root), or the machines cannot reach each other.
   */
  static async create(withSockets = false): Promise<Lab> {
    const lab = new Lab();
    try {
      // First: programs see the mounts that were there when they were started.
      if (withSockets) await makeSocketPlace(lab.socketPlace);
      await lab.#build();
      if (withSockets) await lab.#joinSocketPlace();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  agent(name: MachineName): Agent {
    const agent = this.#agents.get(machines[name].namespace);
    if (!agent) throw new Error(`the lab has no agent for ${name}`);
    return agent;
  }

  namespace(name: MachineName): string {
    return `${this.prefix}-${machines[name].namespace}`;
  }

  /** For mode ebpf. */
  get socketPlace(): SocketPlace {
    return socketPlaceIn(this.directory, this.prefix);
  }

  /** Starts a program on a machine. What still runs when the lab goes down is killed. */
  spawn(on: MachineName, command: readonly string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
    return new Deno.Command("ip", { ...options, args: ["netns", "exec", this.namespace(on), ...command] })
      .spawn();
  }

  /** Starts an agent on a machine that serves these ports on all addresses the machine has, and says it is the machine. */
  async serveOnAllAddresses(on: MachineName, ports: readonly number[]): Promise<Agent> {
    const command = ["python3", labFile("agent.py"), on, "0.0.0.0", "::"];
    const agent = await Agent.start(on, this.spawn(on, command, { stdin: "piped", stdout: "piped" }));
    await agent.serve(ports);
    return agent;
  }

  /** Runs a program on a machine to its end. */
  run(on: MachineName, command: readonly string[]): Promise<Finished> {
    return run("ip", ["netns", "exec", this.namespace(on), ...command]);
  }

  /** Ends the agents and whatever else runs in the namespaces, and deletes these. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()));
    await this.#keeper.stdin.close();
    await this.#keeper.status;
  }

  async #build(): Promise<void> {
    await ip([], namespaces.map((namespace) => `netns add ${this.prefix}-${namespace}`));
    await Promise.all(namespaces.map((namespace) => this.#setSysctls(namespace)));
    for (const [namespace, lines] of wiring(this.prefix)) {
      await ip(["-n", `${this.prefix}-${namespace}`], lines);
    }
    await Promise.all(namespaces.map((namespace) => this.#startAgent(namespace)));
    await this.#untilAllAnswer();
  }

  async #joinSocketPlace(): Promise<void> {
    for (const { namespace } of Object.values(machines).filter(({ node }) => node === "here")) {
      await this.#agents.get(namespace)?.join(this.socketPlace.cgroup);
    }
  }

  async #setSysctls(namespace: string): Promise<void> {
    const command = ["netns", "exec", `${this.prefix}-${namespace}`, "sysctl", "-qew", ...sysctls];
    const { code, stderr } = await run("ip", command);
    if (code !== 0) throw new Error(`sysctl in ${namespace}: ${stderr}`);
  }

  async #startAgent(namespace: string): Promise<void> {
    const name = machineNames.find((name) => machines[name].namespace === namespace)!;
    const addresses = families.map((family) => machines[name].addresses[family]);
    const command = ["python3", labFile("agent.py"), namespace, ...addresses];
    const agent = await Agent.start(
      namespace,
      this.spawn(name, command, { stdin: "piped", stdout: "piped" }),
    );
    this.#agents.set(namespace, agent);
    await agent.serve(servedPorts);
  }

  /** Links come up in their own time: IPv6 routes work a moment after they were added. */
  async #untilAllAnswer(): Promise<void> {
    for (const name of machineNames.filter((name) => name !== "stranger")) {
      const { node, addresses } = machines[name];
      const from = name.startsWith("pod-") ? (node === "here" ? "node" : "elsewhere") : "outside";
      for (const family of families) await this.#untilAnswered(from, addresses[family]);
    }
  }

  async #untilAnswered(from: MachineName, to: string): Promise<void> {
    const target = { protocol: "TCP", to, port: servedPorts[0]! } as const;
    const until = Date.now() + 10_000 * slowness;
    for (;;) {
      const [outcome] = await this.agent(from).probe(target, { timeoutMs: 200 });
      if (outcome && isAnswered(outcome)) return;
      if (Date.now() > until) throw new Error(`the lab is not sound: ${from} to ${to}: ${outcome?.outcome}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Object.keys, with the type it has when nobody adds keys at run time. */
const machineNames = Object.keys(machines).filter((name): name is MachineName => name in machines);

function labFile(name: string): string {
  return new URL(name, import.meta.url).pathname;
}

async function ip(options: readonly string[], lines: readonly string[]): Promise<void> {
  const { code, stderr } = await run("ip", [...options, "-batch", "-"], lines.join("\n") + "\n");
  if (code !== 0) throw new Error(`ip ${options.join(" ")}: ${stderr}(in)\n${lines.join("\n")}`);
}

async function run(command: string, args: readonly string[], input = ""): Promise<Finished> {
  const process = new Deno.Command(command, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = process.stdin.getWriter();
  await stdin.write(new TextEncoder().encode(input)).catch(() => {});
  await stdin.close().catch(() => {});
  const output = await process.output();
  const decoder = new TextDecoder();
  return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
}
