import { proxyBinary } from "../../lab/proxy.ts";

export interface ProxyOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Wrapper program that executes the proxy's command line. */
  readonly by?: readonly string[];
}

/** Fields of /healthz that these tests use. */
interface Health {
  readonly healthy: boolean;
  readonly source: { readonly connected: boolean; readonly lostAt?: string };
}

/** The built proxy in the network namespace of this process. Its rules stay after disposal. */
export class ProxyProcess implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #logged: Promise<void>;
  #log = "";

  constructor(flags: readonly string[], { env = {}, by = [] }: ProxyOptions = {}) {
    const [command = proxyBinary, ...args] = [
      ...by,
      proxyBinary,
      ...["--hostname-override=here", "--healthz-bind-address=127.0.0.1:10256", "-v=2"],
      ...flags,
    ];
    this.#process = new Deno.Command(command, { args, env: { ...env }, stdout: "null", stderr: "piped" })
      .spawn();
    this.#logged = this.#collect();
  }

  /** Its output so far. */
  get log(): string {
    return this.#log;
  }

  /** Waits until the log matches. */
  async logged(pattern: RegExp, withinMs = 10_000): Promise<void> {
    await until(
      () => Promise.resolve(pattern.test(this.#log)),
      `log fits ${pattern}`,
      withinMs,
      () => this.#log,
    );
  }

  /** Waits for its first sync. */
  async inForce(withinMs = 20_000): Promise<void> {
    await this.logged(/Reconciled the kernel/, withinMs);
  }

  /** Waits until /healthz reports the source as connected or lost. */
  async sourceIs(state: "connected" | "lost", withinMs = 20_000): Promise<Health> {
    let health: Health | undefined;
    await until(
      async () => {
        health = await this.#health();
        return health?.source.connected === (state === "connected");
      },
      `the source is ${state}`,
      withinMs,
      () => `${JSON.stringify(health)}\n${this.#log}`,
    );
    if (health === undefined) throw new Error("no answer");
    return health;
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    try {
      this.#process.kill(signal);
    } catch (error) {
      // It has exited already.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#process.status;
    await this.#logged;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #health(): Promise<Health | undefined> {
    try {
      const response = await fetch("http://127.0.0.1:10256/healthz", { signal: AbortSignal.timeout(1000) });
      const health: Health = await response.json();
      return health;
    } catch {
      return undefined;
    }
  }

  async #collect(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) this.#log += text;
  }
}

/** Polls a condition. */
export async function until(
  condition: () => Promise<boolean>,
  what: string,
  withinMs = 10_000,
  soFar: () => string = () => "",
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!await condition()) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${withinMs} ms: ${what}\n${soFar().slice(-4000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
