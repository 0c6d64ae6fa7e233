import type { Lab } from "./lab.ts";
import { slowness } from "./pace.ts";
import { ebpfFlags } from "./ebpf_mounts.ts";
import { podCidrs } from "./topology.ts";

/** The built proxy, running on the lab's node "here" with a directory of manifests as its source. */
export class ProxyProcess implements AsyncDisposable {
  /** Start time on the clock of performance.now(). */
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
      ...(mode === "ebpf" ? ebpfFlags(lab.ebpfMounts) : []),
    ];
    this.#process = lab.spawn("node", [proxyBinary, ...mergeFlags(shared, flags)], {
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

  /** Everything the process has written to standard output and error so far. */
  get log(): string {
    return this.#log;
  }

  /** @throws with the end of the log if the process has ended by itself. */
  assertRunning(): void {
    if (!this.#ended) return;
    throw new Error(`the proxy ended with ${JSON.stringify(this.#ended)}:\n${this.#log.slice(-2000)}`);
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<Deno.CommandStatus> {
    try {
      this.#process.kill(signal);
    } catch (error) {
      // The process has already ended.
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

/** Waits until a proxy logs that no rules of another mode are left. */
export function cleanedUp(proxy: Logging, mode: string, withinMs: number): Promise<void> {
  return logged(proxy, `"No rules of another mode remain" mode="${mode}"`, withinMs);
}

/** Waits until a proxy has logged a text. */
export async function logged(proxy: Logging, text: string, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!proxy.log.includes(text)) {
    if (performance.now() > deadline) throw new Error(`no "${text}" in the log:\n${proxy.log.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A process and what it has written so far. */
interface Logging {
  readonly log: string;
}

/** Merges the shared flags with those of one run, which override them. "no --flag" removes a shared flag. */
export function mergeFlags(shared: readonly string[], own: readonly string[]): string[] {
  const overridden = own.map((flag) => flag.replace(/^no /, "").split("=")[0]);
  return [
    ...shared.filter((flag) => !overridden.includes(flag.split("=")[0])),
    ...own.filter((flag) => !flag.startsWith("no ")),
  ];
}

/** Path of the proxy under test: PROXY_BINARY, or dist/proxy. */
export const proxyBinary = Deno.env.get("PROXY_BINARY") ??
  new URL("../../dist/proxy", import.meta.url).pathname;
