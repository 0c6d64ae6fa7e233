/** The command side of agent.py: one agent serves and probes in each namespace of the lab. */
export class Agent {
  readonly #process: Deno.ChildProcess;
  readonly #commands: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, PromiseWithResolvers<AgentReply>>();
  readonly #replies: Promise<void>;
  #lastId = 0;

  private constructor(readonly name: string, process: Deno.ChildProcess) {
    this.#process = process;
    this.#commands = process.stdin.getWriter();
    this.#replies = this.#receive();
  }

  /** @param process agent.py with piped standard input and output */
  static async start(name: string, process: Deno.ChildProcess): Promise<Agent> {
    const ready = Promise.withResolvers<AgentReply>();
    const agent = new Agent(name, process);
    agent.#waiting.set(0, ready);
    await ready.promise;
    return agent;
  }

  /** Answers on these ports, in TCP and UDP, of the namespace's addresses. */
  async serve(ports: readonly number[]): Promise<void> {
    await this.#command({ do: "serve", ports });
  }

  /** Makes it a process of a cgroup. */
  async join(cgroup: string): Promise<void> {
    await this.#command({ do: "join", cgroup });
  }

  /** Connects and asks who is there. Outcomes are in no particular order. */
  async probe(target: Target, options: ProbeOptions = {}): Promise<readonly Outcome[]> {
    const { times = 1, parallel = 16, timeoutMs = 3000, keep = false, from, fromPort } = options;
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

  /** Asks again over connections that `probe` was told to keep. */
  async send(connections: readonly number[], timeoutMs = 3000): Promise<readonly Outcome[]> {
    return (await this.#command({ do: "send", connections, timeoutMs })).results ?? [];
  }

  /** Ends a connection that `probe` was told to keep, and asks over a new one from the same port, which is kept. */
  async reopen(connection: number, target: Target, timeoutMs = 3000): Promise<readonly Outcome[]> {
    const reply = await this.#command({ do: "reopen", connection, ...target, keep: "always", timeoutMs });
    return reply.results ?? [];
  }

  /** Sends a GET over a connection of its own. */
  async http(target: Target, timeoutMs = 3000): Promise<HttpAnswer | Unanswered> {
    const { http } = await this.#command({ do: "http", ...target, timeoutMs });
    return http ?? { outcome: "no reply" };
  }

  async close(connections: readonly number[]): Promise<void> {
    await this.#command({ do: "close", connections });
  }

  /** Ends the agent, and with it everything it serves and keeps. */
  async stop(): Promise<void> {
    await this.#commands.close().catch(() => {});
    await this.#replies;
    await this.#process.status;
  }

  async #command(command: Readonly<Record<string, unknown>>): Promise<AgentReply> {
    const id = ++this.#lastId;
    const reply = Promise.withResolvers<AgentReply>();
    this.#waiting.set(id, reply);
    await this.#commands.write(new TextEncoder().encode(JSON.stringify({ id, ...command }) + "\n"));
    const answered = await reply.promise;
    if (answered.failed) throw new Error(`${this.name}: ${answered.failed}, at ${JSON.stringify(command)}`);
    return answered;
  }

  async #receive(): Promise<void> {
    let rest = "";
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const reply: AgentReply = JSON.parse(line);
        this.#waiting.get(reply.id)?.resolve(reply);
        this.#waiting.delete(reply.id);
      }
    }
    for (const { reject } of this.#waiting.values()) reject(new Error(`${this.name}: the agent ended`));
  }
}

export interface Target {
  readonly protocol: "TCP" | "UDP";
  readonly to: string;
  readonly port: number;
}

export interface ProbeOptions {
  /** Address and port to connect from; the kernel's choice when left out. */
  readonly from?: string;
  readonly fromPort?: number;
  /** How many connections in all (default 1), and how many of them at once (default 16). */
  readonly times?: number;
  readonly parallel?: number;
  /** For one connection with its answer (default 3000). */
  readonly timeoutMs?: number;
  /** Leaves answered connections open for `send` (default false), or "always" also attempts that were not answered. */
  readonly keep?: boolean | "always";
}

export type Outcome = Answered | Unanswered;

export interface Answered {
  /** Who answered, and on which of its ports. */
  readonly pod: string;
  readonly port: number;
  /** The client as the pod sees it. */
  readonly source: string;
  readonly sourcePort: number;
  readonly ms: number;
  /** For `send` and `close`, when it was to be kept. */
  readonly connection?: number;
}

export interface Unanswered {
  /** "timeout", "refused" (TCP reset or ICMP unreachable), "reset", or the system's words for another error. */
  readonly outcome: string;
  readonly connection?: number;
}

export function isAnswered(outcome: Outcome): outcome is Answered {
  return "pod" in outcome;
}

export interface HttpAnswer {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface AgentReply {
  readonly id: number;
  readonly failed?: string;
  readonly results?: readonly Outcome[];
  readonly http?: HttpAnswer | Unanswered;
}
