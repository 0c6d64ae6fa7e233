import assert from "node:assert/strict";
import { FAMILIES } from "../../core/net/protocol.ts";
import { Agent, isAnswered } from "./agent.ts";
import { slowness } from "./pace.ts";
import { type EbpfMounts, ebpfMountsIn, makeEbpfMounts } from "./ebpf_mounts.ts";
import { type MachineName, machines, namespaces, servedPorts } from "./topology.ts";
import { sysctls, wiring } from "./wiring.ts";

/**
 * The network of topology.ts, built from network namespaces with one agent in each. Deleting namespaces stalls
 * nf_tables on the whole machine, so create a lab once and use it for many tests. Needs root.
 */
export class Lab implements AsyncDisposable {
  static #made = 0;
  /** Prefix of the names of the namespaces; unique among running processes and the labs of this one. */
  readonly prefix = `px${Deno.pid}${Lab.#made === 0 ? "" : `x${Lab.#made}`}`;
  /** Scratch directory for programs in the lab; removed with it. */
  readonly directory = Deno.makeTempDirSync({ prefix: `${this.prefix}-` });
  readonly #cleanup: Deno.ChildProcess;
  readonly #agents = new Map<string, Agent>();

  private constructor() {
    Lab.#made++;
    const args = [this.prefix, this.directory];
    this.#cleanup = new Deno.Command(labFile("cleanup.sh"), { args, stdin: "piped" }).spawn();
  }

  /**
   * @param withEbpf makes ebpfMounts and moves the agents of the node and of its pods into the cgroup.
   * @throws if a namespace cannot be made (no root), or if the machines cannot reach each other.
   */
  static async create(withEbpf = false): Promise<Lab> {
    const lab = new Lab();
    try {
      // The mounts come first, because a process sees only mounts that exist when it starts.
      if (withEbpf) await makeEbpfMounts(lab.ebpfMounts);
      await lab.#build();
      if (withEbpf) await lab.#joinCgroup();
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

  /** Paths for mode ebpf; they exist if the lab was created with `withEbpf`. */
  get ebpfMounts(): EbpfMounts {
    return ebpfMountsIn(this.directory, this.prefix);
  }

  /** Starts a program on a machine. The program is killed when the lab is disposed. */
  spawn(on: MachineName, command: readonly string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
    return new Deno.Command("ip", { ...options, args: ["netns", "exec", this.namespace(on), ...command] })
      .spawn();
  }

  /** Starts an agent that serves these ports on all addresses of a machine and answers with the machine's name. */
  async serveOnAllAddresses(on: MachineName, ports: readonly number[]): Promise<Agent> {
    const command = ["python3", labFile("agent.py"), on, "0.0.0.0", "::"];
    const agent = await Agent.start(on, this.spawn(on, command, { stdin: "piped", stdout: "piped" }));
    await agent.serve(ports);
    return agent;
  }

  /** Runs a program on a machine and waits for its end. */
  run(on: MachineName, command: readonly string[]): Promise<CommandResult> {
    return run("ip", ["netns", "exec", this.namespace(on), ...command]);
  }

  /** Runs a program on a machine, which must succeed, and returns its standard output. */
  async output(on: MachineName, ...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(on, command);
    assert.equal(code, 0, `${command.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Stops the agents and all other processes in the namespaces, and deletes the namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()));
    await this.#cleanup.stdin.close();
    await this.#cleanup.status;
  }

  async #build(): Promise<void> {
    await ip([], namespaces.map((namespace) => `netns add ${this.prefix}-${namespace}`));
    await Promise.all(namespaces.map((namespace) => this.#setSysctls(namespace)));
    for (const [namespace, lines] of wiring(this.prefix)) {
      await ip(["-n", `${this.prefix}-${namespace}`], lines);
    }
    await Promise.all(namespaces.map((namespace) => this.#startAgent(namespace)));
    await this.#waitUntilAllAnswer();
  }

  async #joinCgroup(): Promise<void> {
    for (const { namespace } of Object.values(machines).filter(({ node }) => node === "here")) {
      await this.#agents.get(namespace)?.join(this.ebpfMounts.cgroup);
    }
  }

  async #setSysctls(namespace: string): Promise<void> {
    const command = ["netns", "exec", `${this.prefix}-${namespace}`, "sysctl", "-qew", ...sysctls];
    const { code, stderr } = await run("ip", command);
    if (code !== 0) throw new Error(`sysctl in ${namespace}: ${stderr}`);
  }

  async #startAgent(namespace: string): Promise<void> {
    const name = machineNames.find((name) => machines[name].namespace === namespace)!;
    const addresses = FAMILIES.map((family) => machines[name].addresses[family]);
    const command = ["python3", labFile("agent.py"), namespace, ...addresses];
    const agent = await Agent.start(
      namespace,
      this.spawn(name, command, { stdin: "piped", stdout: "piped" }),
    );
    this.#agents.set(namespace, agent);
    await agent.serve(servedPorts);
  }

  /** Waits until all machines are reachable. Links come up asynchronously, and so IPv6 routes work a moment later. */
  async #waitUntilAllAnswer(): Promise<void> {
    for (const name of machineNames.filter((name) => name !== "stranger")) {
      const { node, addresses } = machines[name];
      const from = name.startsWith("pod-") ? (node === "here" ? "node" : "elsewhere") : "outside";
      for (const family of FAMILIES) await this.#waitForAnswer(from, addresses[family]);
    }
  }

  async #waitForAnswer(from: MachineName, to: string): Promise<void> {
    const target = { protocol: "TCP", to, port: servedPorts[0]! } as const;
    const deadline = Date.now() + 10_000 * slowness;
    for (;;) {
      const [outcome] = await this.agent(from).probe(target, { timeoutMs: 200 * slowness });
      if (outcome && isAnswered(outcome)) return;
      if (Date.now() > deadline) throw new Error(`lab: ${from} cannot reach ${to}: ${outcome?.outcome}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Keys of `machines`, typed as MachineName. */
const machineNames = Object.keys(machines).filter((name): name is MachineName => name in machines);

function labFile(name: string): string {
  return new URL(name, import.meta.url).pathname;
}

async function ip(options: readonly string[], lines: readonly string[]): Promise<void> {
  const { code, stderr } = await run("ip", [...options, "-batch", "-"], lines.join("\n") + "\n");
  if (code !== 0) throw new Error(`ip ${options.join(" ")}: ${stderr}(in)\n${lines.join("\n")}`);
}

async function run(command: string, args: readonly string[], input = ""): Promise<CommandResult> {
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
