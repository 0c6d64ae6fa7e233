import type { ClusterAccess, PemSource } from "./cluster_access.ts";
import { ExecCredentials } from "./exec_credential.ts";

/** Headers of a request and TLS material of its connection. */
export interface Secrets {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly tls: TlsSecrets;
}

/** PEM texts; "" for none. */
export interface TlsSecrets {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

/**
 * Provides the current secrets. Files are read for every request, because they are rotated at any time and requests are
 * rare (a watch lasts minutes). A plugin runs when its credential has expired.
 */
export class Credentials {
  readonly #exec: ExecCredentials | undefined;

  readonly #access: ClusterAccess;

  constructor(access: ClusterAccess) {
    this.#access = access;
    const plugin = access.user.exec;
    this.#exec = plugin === undefined ? undefined : new ExecCredentials(plugin);
  }

  /** @throws Error that names the file or plugin that failed. */
  async current(): Promise<Secrets> {
    const { authority, user } = this.#access;
    const exec = await this.#exec?.get();
    const token = user.token === undefined
      ? exec?.token ?? ""
      : "text" in user.token
      ? user.token.text
      : (await read("token", user.token.file)).trim();
    const headers: [string, string][] = user.impersonation.map(([name, value]) => [name, value]);
    if (token !== "") headers.push(["Authorization", `Bearer ${token}`]);
    else if (user.basic !== undefined) {
      const bytes = new TextEncoder().encode(`${user.basic.username}:${user.basic.password}`);
      headers.push(["Authorization", `Basic ${bytes.toBase64()}`]);
    }
    const [chain, key] = user.certificate === undefined
      ? [exec?.certificate ?? "", exec?.key ?? ""]
      : await Promise.all([
        pem("client-certificate", user.certificate.chain),
        pem("client-key", user.certificate.key),
      ]);
    return {
      headers,
      tls: {
        authority: authority === undefined ? "" : await pem("certificate-authority", authority),
        certificate: chain,
        key,
      },
    };
  }

  /** Called when the server answered 401. */
  rejected(): void {
    this.#exec?.forget();
  }
}

async function pem(field: string, source: PemSource): Promise<string> {
  return "text" in source ? source.text : await read(field, source.file);
}

async function read(field: string, path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new Error(`${field} ${path}: ${error instanceof Error ? error.message : error}`);
  }
}
