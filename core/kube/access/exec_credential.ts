import * as v from "valibot";
import type { ExecPlugin } from "./cluster_access.ts";

export interface ExecCredential {
  readonly token: string;
  /** PEM; "" when the plugin gives a token only. */
  readonly certificate: string;
  readonly key: string;
}

/** A plugin that hangs is killed after this time. */
const PLUGIN_TIMEOUT_MS = 60_000;

/**
 * Credentials from a plugin, kept until they expire or the server rejects them (client.authentication.k8s.io/v1, v1beta1:
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
export class ExecCredentials {
  #current: { readonly credential: Promise<ExecCredential>; expires: number } | undefined;

  readonly #plugin: ExecPlugin;
  readonly #now: () => number;

  constructor(plugin: ExecPlugin, now: () => number = Date.now) {
    this.#plugin = plugin;
    this.#now = now;
  }

  /** @throws Error that names the plugin and the problem. */
  get(): Promise<ExecCredential> {
    if (this.#current !== undefined && this.#now() < this.#current.expires) return this.#current.credential;
    const started = { credential: this.#run(), expires: Infinity };
    this.#current = started;
    return started.credential;
  }

  /** Discards the credentials, so that the next call of `get` runs the plugin again. */
  forget(): void {
    this.#current = undefined;
  }

  async #run(): Promise<ExecCredential> {
    try {
      const status = parse(await output(this.#plugin), this.#plugin);
      const started = this.#current;
      if (started !== undefined) started.expires = status.expires;
      return status;
    } catch (error) {
      this.#current = undefined;
      throw new Error(
        `credential plugin ${this.#plugin.command}: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}

async function output(plugin: ExecPlugin): Promise<string> {
  const info = {
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(plugin.cluster !== undefined && { cluster: plugin.cluster }) },
  };
  const timeout = AbortSignal.timeout(PLUGIN_TIMEOUT_MS);
  const command = new Deno.Command(plugin.command, {
    args: [...plugin.args],
    env: { ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: timeout,
  });
  const result = await run(command, plugin);
  if (result.success) return new TextDecoder().decode(result.stdout);
  if (timeout.aborted) throw new Error(`no output within ${PLUGIN_TIMEOUT_MS / 1000} s`);
  const complaint = new TextDecoder().decode(result.stderr).trim().slice(0, 500);
  throw new Error(`exit code ${result.code}${complaint === "" ? "" : `: ${complaint}`}`);
}

async function run(command: Deno.Command, { installHint }: ExecPlugin): Promise<Deno.CommandOutput> {
  try {
    return await command.output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`program not found${installHint === "" ? "" : `. ${installHint.trim()}`}`);
  }
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
