import assert from "node:assert/strict";
import { FAMILIES } from "../../../core/net/protocol.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Capacity } from "../../../backends/ebpf/options.ts";
import { planOf as planOfEbpf } from "../../backends/ebpf/plans.ts";
import { addressOf, cidrOf, planOf, type PlanText, settingsOf } from "../../backends/plans.ts";
import { BackendProcess, RejectionError } from "../../integration/support/backend_process.ts";
import type { Outcome, Target } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { linesOf } from "../../lab/lines.ts";
import { type MachineName, machines, podCidrs, podInterfacePrefix } from "../../lab/topology.ts";
import type { ProgramName, Programs } from "./programs.ts";

export const MODES = ["nftables", "ebpf"] as const;
export type ArenaMode = typeof MODES[number];

/** Time in which TCP repeats a SYN three times. */
const CONNECTED_WITHIN_MS = 15_000;
/** Pause between the connections that `connectDuring` makes at the same time. */
const PAUSE_MS = 250;
const CONNECTIONS_AT_ONCE = 3;

/** Defaults of all `--ebpf-max-…` except that of endpoints, which would take memory for nothing. */
const DEFAULT_CAPACITY: Capacity = {
  frontends: 131_072,
  endpoints: 16_384,
  connections: 131_072,
  clients: 65_536,
};

/** One mode on the node of a lab of its own, whose endpoints use SYN cookies. */
export class Arena implements AsyncDisposable {
  #backend: BackendProcess | undefined;
  #capacity: Partial<Capacity> = {};
  /** Plans that the backend has in force. */
  readonly #plans = new Map<PlanKey, ServicePortPlan>();
  /** Machines and ports with a server that `echo` has started. */
  readonly #echoes = new Set<string>();

  private constructor(
    readonly mode: ArenaMode,
    readonly lab: Lab,
    private readonly programs: Programs,
    private readonly linkAddresses: Readonly<Record<string, string>>,
  ) {}

  static async create(mode: ArenaMode, programs: Programs): Promise<Arena> {
    const lab = await Lab.create(true);
    try {
      for (const pod of ["pod-a", "pod-b", "pod-c"] as const) {
        // Endpoints answer every SYN and remember none, so that only the node can fail.
        await lab.output(pod, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
      }
      const links: readonly { ifname: string; address: string }[] = JSON.parse(
        await lab.output("node", "ip", "-j", "link", "show"),
      );
      const linkAddresses = Object.fromEntries(links.map(({ ifname, address }) => [ifname, address]));
      return new Arena(mode, lab, programs, linkAddresses);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Programs these services on the node, which has no flows after that. */
  async begin(services: readonly PlanText[], capacity: Partial<Capacity> = {}): Promise<void> {
    await this.#end();
    this.#capacity = capacity;
    await this.#start(services);
    await this.lab.output("node", "conntrack", "-F");
  }

  /**
   * Starts the proxy anew, with these services in the cluster.
   * @param what "node": the kernel has forgotten everything.
   */
  async restart(what: "proxy" | "node", services: readonly PlanText[]): Promise<void> {
    if (what === "node") await this.#end();
    else await this.#stop();
    await this.#start(services);
  }

  /** Adds services, or replaces those of the same name, as far as the backend accepts them. */
  async add(services: readonly PlanText[]): Promise<void> {
    const changes = this.plansOf(services).map((plan) => ({
      key: plan.key,
      old: this.#plans.get(plan.key),
      new: plan,
    }));
    const rejected = await rejectedBy(this.backend.apply(changes));
    for (const { key, new: plan } of changes) {
      if (!rejected.includes(key)) this.#plans.set(key, plan);
    }
  }

  get backend(): BackendProcess {
    assert(this.#backend !== undefined, "the arena has not begun");
    return this.#backend;
  }

  /** Starts a process with the backend, which has programmed nothing yet. */
  startBackend(capacity: Partial<Capacity> = {}): BackendProcess {
    const options = { ...this.lab.ebpfMounts, capacity: { ...DEFAULT_CAPACITY, ...capacity } };
    const wrapper = ["env", `EBPF_OPTIONS=${JSON.stringify(options)}`];
    return new BackendProcess(this.mode, { name: this.lab.namespace("node") }, wrapper);
  }

  plansOf(services: readonly PlanText[]): readonly ServicePortPlan[] {
    return services.map(this.mode === "ebpf" ? planOfEbpf : planOf);
  }

  /** Sends packets with random sources to the node's port. @returns their number */
  async flood(kind: FloodKind, flood: Flood): Promise<number> {
    const { from = "outside", sources = SPOOFED, to = machines.node.addresses.IPv4 } = flood;
    const { port, count, perSecond, seconds = 0, isRealTime = false } = flood;
    const numbers = [port, count, perSecond, seconds].map(String);
    const args = [...this.#outlet(from), kind, sources, to, ...numbers];
    const [sent] = await this.run("flood", from, args, isRealTime ? ["chrt", "--rr", "1"] : []);
    return sent!;
  }

  /** Sends one datagram from each of many UDP clients to the node's port. */
  async udpClients(clients: UdpClients): Promise<{ readonly answered: number; readonly errors: number }> {
    const { sources = SPOOFED, first = 0, count, port, perSecond, patience = 2 } = clients;
    const [answered = 0, errors = 0] = await this.run("clients", "outside", [
      ...this.#outlet("outside"),
      sources,
      `${first}`,
      `${count}`,
      machines.node.addresses.IPv4,
      `${port}`,
      `${perSecond}`,
      `${patience}`,
    ]);
    return { answered, errors };
  }

  /** Opens connections to the node's port, and forges segments that would end them. @returns how many went on */
  async forge(kind: "rst" | "fin", sequence: "random" | number, forged: Forged): Promise<number> {
    const { port, connections, segments, idleSeconds } = forged;
    const [before, after] = await this.run("reset", "outside", [
      ...this.#outlet("outside"),
      machines.node.addresses.IPv4,
      `${port}`,
      `${connections}`,
      kind,
      `${sequence}`,
      `${segments}`,
      `${idleSeconds}`,
    ]);
    assert.equal(before, connections, "connections before the attack");
    return after!;
  }

  /** Connects to a target from outside until `work` is done. @returns all outcomes and that of `work` */
  async connectDuring(target: Target, work: Promise<unknown>): Promise<readonly Outcome[]> {
    let isDone = false;
    const outcomes: Promise<readonly Outcome[]>[] = [];
    const done = work.finally(() => isDone = true);
    do {
      outcomes.push(this.connect(target, CONNECTIONS_AT_ONCE));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    } while (!isDone);
    await done;
    return (await Promise.all(outcomes)).flat();
  }

  /** Makes connections from outside, with as much time as TCP needs to try again. */
  connect(target: Target, times: number): Promise<readonly Outcome[]> {
    return this.lab.agent("outside").probe(target, { times, parallel: 8, timeoutMs: CONNECTED_WITHIN_MS });
  }

  /** Has a machine answer datagrams with themselves, until the arena is disposed. */
  async echo(on: MachineName, port: number): Promise<void> {
    const name = `${on} ${port}`;
    if (this.#echoes.has(name)) return;
    this.#echoes.add(name);
    await this.#startEcho(on, port, "at-once");
  }

  /** Has a machine keep datagrams, which it answers with themselves when `answer` is called. */
  async echoLater(on: MachineName, port: number): Promise<{ answer(): Promise<void> } & AsyncDisposable> {
    const server = await this.#startEcho(on, port, "by-line");
    const lines = server.stdin.getWriter();
    return {
      answer: () => lines.write(new TextEncoder().encode("\n")),
      [Symbol.asyncDispose]: async () => {
        await lines.close();
        await server.status;
      },
    };
  }

  /** Runs one of our programs. @param wrapper a command that runs it. @returns the numbers that it prints */
  async run(
    program: ProgramName,
    on: MachineName,
    args: readonly string[],
    wrapper: readonly string[] = [],
  ): Promise<readonly number[]> {
    const printed = await this.lab.output(on, ...wrapper, this.programs.path(program), ...args);
    return printed.trim().split(" ").map(Number);
  }

  /** Opens UDP sockets on a pod one after the other, each of which sends a datagram to a service. */
  async openSockets(on: MachineName, to: string, port: number, count: number): Promise<void> {
    await this.lab.output(on, ...this.#inCgroup("sockets", "open", to, `${port}`, `${count}`));
  }

  /** Sends a datagram on each of several UDP sockets. @returns after that, with the promise of what is answered */
  async ask(question: Question): Promise<{ readonly outcome: Promise<Answers> }> {
    const { from = "outside", to = machines.node.addresses.IPv4, port, count, bytes = 1 } = question;
    const { patience = 2 } = question;
    const args = ["ask", to, `${port}`, `${count}`, `${patience}`, `${bytes}`];
    const command = from === "outside"
      ? [this.programs.path("sockets"), ...args]
      : this.#inCgroup("sockets", ...args);
    const lines = linesOf(this.lab.spawn(from, command, { stdin: "null", stdout: "piped" }).stdout);
    assert.equal((await lines.next()).value, "asked");
    const read = async () => {
      const { value } = await lines.next();
      await lines.return(undefined);
      const [answered, forged] = `${value}`.split(" ").map(Number);
      return { answered: answered!, forged: forged! };
    };
    return { outcome: read() };
  }

  /** Sets sysctls of the node. @returns what sets them back when it is disposed */
  async sysctls(...settings: readonly string[]): Promise<AsyncDisposable> {
    const names = settings.map((setting) => setting.split("=")[0]!);
    // -e skips those that the kernel does not have.
    const before = await this.lab.output("node", "sysctl", "-e", ...names);
    const set = (lines: readonly string[]) => this.lab.output("node", "sysctl", "-qew", ...lines);
    await set(settings);
    return {
      [Symbol.asyncDispose]: async () => {
        await set(before.trim().split("\n").map((line) => line.replaceAll(" = ", "=")));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await this.lab[Symbol.asyncDispose]();
  }

  /** Programs services without those that the backend rejects, as the sync loop does. */
  async #start(services: readonly PlanText[]): Promise<void> {
    this.#backend = this.startBackend(this.#capacity);
    let plans = this.plansOf(services);
    for (let rejected: readonly string[] = [""]; rejected.length > 0;) {
      rejected = await rejectedBy(this.#backend.reconcile(plans, SETTINGS));
      plans = plans.filter(({ key }) => !rejected.includes(key));
    }
    for (const plan of plans) this.#plans.set(plan.key, plan);
  }

  async #end(): Promise<void> {
    await this.#backend?.cleanup();
    await this.#stop();
  }

  async #stop(): Promise<void> {
    await this.#backend?.[Symbol.asyncDispose]();
    this.#backend = undefined;
    this.#plans.clear();
  }

  /** Command that runs one of our programs in the cgroup whose sockets the node balances, without input. */
  #inCgroup(program: ProgramName, ...args: readonly string[]): readonly string[] {
    const join = `echo 0 >${this.lab.ebpfMounts.cgroup}/cgroup.procs && exec "$@" </dev/null`;
    return ["sh", "-c", join, "sh", this.programs.path(program), ...args];
  }

  async #startEcho(on: MachineName, port: number, when: "at-once" | "by-line"): Promise<Deno.ChildProcess> {
    const command = [this.programs.path("echo"), machines[on].addresses.IPv4, `${port}`, when];
    const server = this.lab.spawn(on, command, { stdin: "piped", stdout: "piped" });
    // It closes its standard output when it is ready.
    await server.stdout.pipeTo(new WritableStream());
    return server;
  }

  /** The device by which frames leave a machine for the node, and the node's link address there. */
  #outlet(from: "outside" | "pod-c"): readonly string[] {
    const isOutside = from === "outside";
    const [device, peer] = isOutside ? ["node", "eth0"] : ["eth0", `${podInterfacePrefix}-c`];
    return [device, this.linkAddresses[peer]!];
  }
}

/** A network that nothing else uses (RFC 2544). The nodes' default route leads there. */
export const SPOOFED = "198.18.0.0/15";

/** Settings of the node, in every attack. */
export const SETTINGS = FAMILIES.map((family) => {
  const node = addressOf(machines.node.addresses[family]);
  return settingsOf(family, {
    interfaceAddresses: [node],
    nodePorts: [node],
    localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
  });
});

export type FloodKind =
  | "syn"
  | "syn-ack"
  | "ack"
  | "udp"
  | "first-fragment"
  | "last-fragment"
  | "overlapping-fragment";

export interface Flood {
  readonly from?: "outside" | "pod-c";
  /** PREFIX or PREFIX:PORT; SPOOFED with random ports by default. */
  readonly sources?: string;
  /** The node's address by default. */
  readonly to?: string;
  /** 0 for a random one per packet. */
  readonly port: number;
  readonly count: number;
  readonly perSecond: number;
  /** Stops early after this time; 0, the default, for no limit. */
  readonly seconds?: number;
  /** The sender gets the processors before other programs of the machine. */
  readonly isRealTime?: boolean;
}

export interface UdpClients {
  readonly sources?: string;
  readonly first?: number;
  readonly count: number;
  readonly port: number;
  readonly perSecond: number;
  /** Seconds to wait for answers after the last datagram. */
  readonly patience?: number;
}

export interface Question {
  /** The machine; sockets of a pod are balanced when they send. */
  readonly from?: "outside" | "pod-a";
  /** The node's address by default. */
  readonly to?: string;
  readonly port: number;
  /** Number of sockets. */
  readonly count: number;
  readonly bytes?: number;
  /** Seconds to wait for answers. */
  readonly patience?: number;
}

export interface Answers {
  /** Sockets that got their datagram back, from the address and port that they sent to. */
  readonly answered: number;
  /** Other datagrams from there that arrived before. */
  readonly forged: number;
}

export interface Forged {
  readonly port: number;
  readonly connections: number;
  /** Segments per connection. */
  readonly segments: number;
  readonly idleSeconds: number;
}

/** Keys that an operation of the backend rejects. */
export async function rejectedBy(operation: Promise<unknown>): Promise<readonly string[]> {
  try {
    await operation;
    return [];
  } catch (error) {
    if (error instanceof RejectionError) return error.rejectedKeys;
    throw error;
  }
}
