import type { Lab } from "./lab.ts";
import { slowness } from "./pace.ts";
import { socketFlags } from "./socket_place.ts";
import { podCidrs } from "./topology.ts";

/** The built proxy, run on the lab's node "here" with a directory of manifests as its source. */
export class ProxyProcess implements AsyncDisposable {
  /** On the clock of performance.now(). */
  readonly startedAt = performance.now();
  readonly #process: Deno.ChildProcess;
  readonly #logged: Promise<void>;
  #log = "";
  #ended: Deno.CommandStatus | undefined;

  constructor(lab: Lab, manifests: string, mode = "nftables", flags: readonly string[] = []) {
    const shared = [
      `--manifests=${manifests}`,
      "--hostname-override=here",
      `--proxy-mode=${mode}`,
      `--cluster-cidr=${podCidrs.here.IPv4},${podCidrs.here.IPv6}`,
      "--healthz-bind-address=127.0.0.1:10256",
      "--metrics-bind-address=127.0.0.1:10249",
      ...(mode === "ebpf" ? socketFlags(lab.socketPlace) : []),
    ];
    this.#process = lab.spawn("node", [proxyBinary, ...overriding(shared, flags)], {
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    this.#logged = Promise.all([this.#collect(this.#process.stdout), this.#collect(this.#process.stderr)])
      .then();
    this.#process.status.then((status) => this.#ended = status);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Everything it wrote so far. */
  get log(): string {
    return this.#log;
  }

  /** @throws with the end of its log when it has ended by itself. */
  mustRun(): void {
    if (!this.#ended) return;
    throw new Error(`the proxy ended with ${JSON.stringify(this.#ended)}:\n${this.#log.slice(-2000)}`);
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<Deno.CommandStatus> {
    try {
      this.#process.kill(signal);
    } catch (error) {
      // It has ended before.
      if (!(error instanceof TypeError)) throw error;
    }
    const deadline = setTimeout(() => this.#process.kill("SIGKILL"), 5000 * slowness);
    const status = await this.#process.status;
    clearTimeout(deadline);
    await this.#logged;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.#log += text;
  }
}

/** Flags that all runs share, and those of one run, which come before them. "no --flag" leaves a shared one out. */
export function overriding(shared: readonly string[], own: readonly string[]): string[] {
  const decided = own.map((flag) => flag.replace(/^no /, "").split("=")[0]);
  return [
    ...shared.filter((flag) => !decided.includes(flag.split("=")[0])),
    ...own.filter((flag) => !flag.startsWith("no ")),
  ];
}

/** PROXY_BINARY names another build than dist/proxy. */
export const proxyBinary = Deno.env.get("PROXY_BINARY") ??
  new URL("../../dist/proxy", import.meta.url).pathname;
