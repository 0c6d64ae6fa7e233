import assert from "node:assert/strict";
import type { HealthBody } from "../../../../core/observe/health/health.ts";
import { collect } from "./collect.ts";
import type { Node } from "./node.ts";
import { slowness } from "../../../lab/pace.ts";

/** Generous, so that a busy machine does not fail a test. */
const PATIENCE_MS = 30_000 * slowness;

/** The proxy running on a node until the test ends it. */
export class RunningProxy implements AsyncDisposable {
  #log = "";
  readonly #logged: Promise<unknown>;
  #isRunning = true;

  constructor(private readonly node: Node, private readonly process: Deno.ChildProcess) {
    const note = (text: string) => this.#log += text;
    this.#logged = Promise.all([collect(process.stdout, note), collect(process.stderr, note)]);
    process.status.then(() => this.#isRunning = false);
  }

  /** Its output so far. */
  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.process.pid;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  signal(signal: Deno.Signal): void {
    this.process.kill(signal);
  }

  /** Waits until the log matches. */
  async logs(pattern: RegExp): Promise<void> {
    await this.until(() => pattern.test(this.#log), `${pattern} in the log`);
  }

  /** Waits for a condition. @returns the time until it was true, in milliseconds */
  async until(condition: () => boolean | Promise<boolean>, what: string): Promise<number> {
    const began = performance.now();
    while (!await condition()) {
      const waited = performance.now() - began;
      assert.ok(
        waited < PATIENCE_MS,
        `no ${what} in ${PATIENCE_MS / 1000} s; the proxy said\n${this.#log.slice(-3000)}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return performance.now() - began;
  }

  /** Waits for the first sync. */
  async inForce(): Promise<void> {
    await this.logs(/Reconciled the kernel with the plans/);
  }

  /** Requests /healthz or /livez from within its namespace until it responds. */
  async health(path = "/healthz"): Promise<{ readonly status: number; readonly body: HealthBody }> {
    const url = `http://127.0.0.1:10256${path}`;
    const curl = [
      "curl",
      "--silent",
      "--noproxy",
      "*",
      "--max-time",
      "5",
      "--write-out",
      "\n%{http_code}",
      url,
    ];
    let answer = "";
    const ask = async () => answer = await this.node.namespace.run(...curl);
    await this.until(() => ask().then(() => true, () => false), `answer of ${url}`);
    const [body = "", status] = answer.split(/\n(?=\d+$)/);
    return { status: Number(status), body: JSON.parse(body) };
  }

  /** Peak resident memory so far, in bytes. */
  get peakMemory(): number {
    const status = Deno.readTextFileSync(`/proc/${this.process.pid}/status`);
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** Ends it. @returns its exit code and the time until its exit, in milliseconds */
  async end(signal: Deno.Signal = "SIGTERM"): Promise<{ readonly code: number; readonly ms: number }> {
    const began = performance.now();
    if (this.#isRunning) this.process.kill(signal);
    const { code } = await this.process.status;
    const ms = performance.now() - began;
    await this.#logged;
    return { code, ms };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}
