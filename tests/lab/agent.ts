import { linesOf } from "./lines.ts";
import { slowness } from "./pace.ts";

/** Default time limit for an answer, in milliseconds. */
const ANSWERED_WITHIN_MS = 3000 * slowness;

/** Client of agent.py. One agent per namespace of the lab serves as a pod and connects as a client. */
export class Agent {
  readonly #process: Deno.ChildProcess;
  readonly #commands: WritableStreamDefaultWriter<Uint8Array>;
  readonly #pending = new Map<number, PromiseWithResolvers<AgentReply>>();
  readonly #replies: Promise<void>;
  #lastId = 0;

  private constructor(readonly name: string, process: Deno.ChildProcess) {
    this.#process = process;
    this.#commands = process.stdin.getWriter();
    this.#replies = this.#receive();
  }

  /** @param process agent.py with piped standard input and output. */
  static async start(name: string, process: Deno.ChildProcess): Promise<Agent> {
    const ready = Promise.withResolvers<AgentReply>();
    const agent = new Agent(name, process);
    agent.#pending.set(0, ready);
    await ready.promise;
    return agent;
  }

  /** Serves these ports in TCP and UDP on the addresses of the namespace. */
  async serve(ports: readonly number[]): Promise<void> {
    await this.#command({ do: "serve", ports });
  }

  /** Moves the agent into a cgroup. */
  async join(cgroup: string): Promise<void> {
    await this.#command({ do: "join", cgroup });
  }

  /** Connects and reads the answer. The outcomes are in no particular order. */
  async probe(target: Target, options: ProbeOptions = {}): Promise<readonly Outcome[]> {
    const { times = 1, parallel = 16, timeoutMs = ANSWERED_WITHIN_MS, keep = false, from, fromPort } =
      options;
    const source = {
      ...(from === undefined ? {} : { from }),
      ...(fromPort === undefined ? {} : { fromPort }),
    };
    const reply = await this.#command({
      do: "probe",
      ...target,
      ...source,
      times,
      parallel,
      timeoutMs,
      keep,
    });
    return reply.results ?? [];
  }

  /** Sends another request on connections that `probe` kept. */
  async send(connections: readonly number[], timeoutMs = ANSWERED_WITHIN_MS): Promise<readonly Outcome[]> {
    return (await this.#command({ do: "send", connections, timeoutMs })).results ?? [];
  }

  /** Closes a connection that `probe` kept, connects again from the same source port, and keeps the new connection. */
  async reopen(
    connection: number,
    target: Target,
    timeoutMs = ANSWERED_WITHIN_MS,
  ): Promise<readonly Outcome[]> {
    const reply = await this.#command({ do: "reopen", connection, ...target, keep: "always", timeoutMs });
    return reply.results ?? [];
  }

  /** Sends a GET on a new connection. */
  async http(target: Target, timeoutMs = ANSWERED_WITHIN_MS): Promise<HttpAnswer | Unanswered> {
    const { http } = await this.#command({ do: "http", ...target, timeoutMs });
    return http ?? { outcome: "no reply" };
  }

  async close(connections: readonly number[]): Promise<void> {
    await this.#command({ do: "close", connections });
  }

  /** Ends the agent with its servers and connections. */
  async stop(): Promise<void> {
    await this.#commands.close().catch(() => {});
    await this.#replies;
    await this.#process.status;
  }

  async #command(command: Readonly<Record<string, unknown>>): Promise<AgentReply> {
    const id = ++this.#lastId;
    const reply = Promise.withResolvers<AgentReply>();
    this.#pending.set(id, reply);
    await this.#commands.write(new TextEncoder().encode(JSON.stringify({ id, ...command }) + "\n"));
    const result = await reply.promise;
    if (result.failed) throw new Error(`${this.name}: ${result.failed}; command: ${JSON.stringify(command)}`);
    return result;
  }

  async #receive(): Promise<void> {
    for await (const line of linesOf(this.#process.stdout)) {
      const reply: AgentReply = JSON.parse(line);
      this.#pending.get(reply.id)?.resolve(reply);
      this.#pending.delete(reply.id);
    }
    for (const { reject } of this.#pending.values()) reject(new Error(`${this.name}: the agent ended`));
  }
}

export interface Target {
  readonly protocol: "TCP" | "UDP";
  readonly to: string;
  readonly port: number;
}

export interface ProbeOptions {
  /** Source address and port; by default the kernel chooses them. */
  readonly from?: string;
  readonly fromPort?: number;
  /** Total number of connections (default 1). */
  readonly times?: number;
  /** Number of connections at the same time (default 16). */
  readonly parallel?: number;
  /** Time limit for one connection with its answer (default 3000, longer on a slow machine). */
  readonly timeoutMs?: number;
  /** Keeps answered connections open for `send` (default false); "always" also keeps attempts without an answer. */
  readonly keep?: boolean | "always";
}

export type Outcome = Answered | Unanswered;

export interface Answered {
  /** The pod that answered, and its port. */
  readonly pod: string;
  readonly port: number;
  /** Address and port of the client as the pod sees them. */
  readonly source: string;
  readonly sourcePort: number;
  readonly ms: number;
  /** Identifies a kept connection in `send` and `close`. */
  readonly connection?: number;
}

export interface Unanswered {
  /** "timeout", "refused" (TCP reset or ICMP unreachable), "reset", or the system's message for another error. */
  readonly outcome: string;
  readonly connection?: number;
}

export function isAnswered(outcome: Outcome): outcome is Answered {
  return "pod" in outcome;
}

export interface HttpAnswer {
  readonly status: number;
  /** Header values by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface AgentReply {
  readonly id: number;
  readonly failed?: string;
  readonly results?: readonly Outcome[];
  readonly http?: HttpAnswer | Unanswered;
}
