import * as v from "valibot";
import type { Log } from "../../observe/log.ts";
import { Attempt, DeadlineError, supervised } from "../../async/attempt.ts";
import type { ExecPlugin } from "./cluster_access.ts";

export interface ExecCredential {
  readonly token: string;
  /** PEM; "" when the plugin gives a token only. */
  readonly certificate: string;
  readonly key: string;
}

/** A plugin that runs for this long is reported. */
const SLOW_PLUGIN_MS = 10_000;
/** Number of bytes of output that are read. */
const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * Credentials from a plugin, kept until they expire or the server rejects them (client.authentication.k8s.io/v1, v1beta1:
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
export class ExecCredentials implements Disposable {
  #current: { readonly credential: Promise<ExecCredential>; expires: number } | undefined;
  readonly #stop = new AbortController();

  readonly #plugin: ExecPlugin;
  readonly #log: Log;
  readonly #timeoutMs: number;
  readonly #now: () => number;

  /** @param timeoutMs a run that takes longer is killed */
  constructor(plugin: ExecPlugin, log: Log, timeoutMs: number, now: () => number = Date.now) {
    this.#plugin = plugin;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /** @throws Error that names the plugin and the problem; the reason of `signal` when it aborts */
  async get(signal: AbortSignal): Promise<ExecCredential> {
    using attempt = new Attempt(signal);
    return await attempt.wait(this.#kept());
  }

  /** Discards the credentials, so that the next call of `get` runs the plugin again. */
  forget(): void {
    this.#current = undefined;
  }

  /** Ends a run of the plugin. */
  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  /** Callers share one run of the plugin. */
  #kept(): Promise<ExecCredential> {
    const current = this.#current;
    if (current !== undefined && this.#now() < current.expires) return current.credential;
    const run = this.#run();
    const started = { credential: run, expires: Infinity };
    this.#current = started;
    run.then(
      ({ expires }) => started.expires = expires,
      () => {
        if (this.#current === started) this.#current = undefined;
      },
    );
    return run;
  }

  async #run(): Promise<ExecCredential & { readonly expires: number }> {
    const plugin = this.#plugin;
    const what = `credential plugin ${plugin.command}`;
    const slow = setTimeout(
      () => this.#log.warn(`${what}: runs for ${SLOW_PLUGIN_MS / 1000} s without a result; waiting for it`),
      SLOW_PLUGIN_MS,
    );
    try {
      const text = await supervised(
        what,
        this.#timeoutMs,
        this.#stop.signal,
        (signal) => output(plugin, signal),
      );
      return parse(text, plugin);
    } catch (error) {
      if (error instanceof DeadlineError) throw error;
      throw new Error(`${what}: ${error instanceof Error ? error.message : error}`);
    } finally {
      clearTimeout(slow);
    }
  }
}

/** Runs the plugin. When the signal aborts, it is killed together with the programs that it started. */
async function output(plugin: ExecPlugin, signal: AbortSignal): Promise<string> {
  const info = {
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(plugin.cluster !== undefined && { cluster: plugin.cluster }) },
  };
  const process = spawn(plugin, JSON.stringify(info));
  const [stdout, stderr] = [process.stdout.getReader(), process.stderr.getReader()];
  const kill = () => {
    try {
      // A negative number is a process group, which `detached` makes.
      Deno.kill(-process.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
    // A program that left the group may keep the pipes open.
    for (const reader of [stdout, stderr]) reader.cancel().catch(() => {});
  };
  signal.addEventListener("abort", kill, { once: true });
  try {
    const [text, complaint, status] = await Promise.all([textOf(stdout), textOf(stderr), process.status]);
    signal.throwIfAborted();
    if (status.success) return text;
    throw new Error(
      `exit code ${status.code}${complaint === "" ? "" : `: ${complaint.trim().slice(0, 500)}`}`,
    );
  } catch (error) {
    kill();
    throw error;
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

function spawn({ command, args, env, installHint }: ExecPlugin, info: string): Deno.ChildProcess {
  try {
    return new Deno.Command(command, {
      args: [...args],
      env: { ...env, KUBERNETES_EXEC_INFO: info },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`program not found${installHint === "" ? "" : `. ${installHint.trim()}`}`);
  }
}

async function textOf(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    text += decoder.decode(next.value, { stream: true });
    if (text.length > MAX_OUTPUT_BYTES) {
      throw new Error(`its output is longer than ${MAX_OUTPUT_BYTES} bytes`);
    }
  }
  return text;
}

const answerSchema = v.object({
  apiVersion: v.string(),
  kind: v.literal("ExecCredential"),
  status: v.object({
    expirationTimestamp: v.nullish(
      v.pipe(v.string(), v.check((text) => !Number.isNaN(Date.parse(text)), "is not a time")),
    ),
    token: v.nullish(v.string(), ""),
    clientCertificateData: v.nullish(v.string(), ""),
    clientKeyData: v.nullish(v.string(), ""),
  }),
});

function parse(text: string, plugin: ExecPlugin): ExecCredential & { readonly expires: number } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The output is not shown, because it may contain part of a secret.
    throw new Error("its output is not JSON");
  }
  const result = v.safeParse(answerSchema, json);
  if (!result.success) {
    const issue = result.issues[0];
    throw new Error(`${v.getDotPath(issue) ?? "its output"}: ${issue.message}`);
  }
  const { apiVersion, status } = result.output;
  if (apiVersion !== plugin.apiVersion) {
    throw new Error(`its output has apiVersion ${apiVersion}, but the kubeconfig says ${plugin.apiVersion}`);
  }
  if (status.token === "" && status.clientCertificateData === "") {
    throw new Error("its output has neither a token nor a certificate");
  }
  if ((status.clientCertificateData === "") !== (status.clientKeyData === "")) {
    throw new Error("its output has a certificate without key or a key without certificate");
  }
  return {
    token: status.token,
    certificate: status.clientCertificateData,
    key: status.clientKeyData,
    expires: status.expirationTimestamp ? Date.parse(status.expirationTimestamp) : Infinity,
  };
}
