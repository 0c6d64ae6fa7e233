import type { Log } from "../../observe/log.ts";
import type { ClusterAccess, PemSource } from "./cluster_access.ts";
import { ExecCredentials } from "./exec_credential.ts";
import { SupervisedFiles } from "../../supervised_files.ts";
import { checkKeyPair, type KeyPair, type KeyPairTexts } from "./key_pair.ts";
import { certificatesIn } from "./pem.ts";
import { Renewed } from "./renewed.ts";

/** Headers of a request and TLS material of its connection. */
export interface Secrets {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly tls: TlsSecrets;
}

export interface TlsSecrets {
  /** PEM certificates of the authorities; undefined for those of the system. */
  readonly authorities: readonly string[] | undefined;
  /** Client certificate and key; undefined for none. */
  readonly pair: KeyPair | undefined;
}

/** Deadlines in milliseconds. */
export interface CredentialTiming {
  /** For reading a file. */
  readonly fileMs: number;
  /** For a run of a plugin. */
  readonly pluginMs: number;
}

/**
 * Provides the current secrets. Files are read for every request, because they are rotated at any time and requests are
 * rare (a watch lasts minutes). A plugin runs when its credential has expired.
 */
export class Credentials implements Disposable {
  readonly #exec: ExecCredentials | undefined;
  readonly #files: SupervisedFiles;
  readonly #token: Renewed<string>;
  readonly #authorities: Renewed<readonly string[]>;
  readonly #pair: Renewed<KeyPair>;
  #checked: { readonly texts: KeyPairTexts; readonly pair: KeyPair } | undefined;

  readonly #access: ClusterAccess;

  constructor(access: ClusterAccess, log: Log, timing: CredentialTiming) {
    this.#access = access;
    const plugin = access.user.exec;
    this.#exec = plugin === undefined ? undefined : new ExecCredentials(plugin, log, timing.pluginMs);
    this.#files = new SupervisedFiles(timing.fileMs);
    this.#token = new Renewed(log);
    this.#authorities = new Renewed(log);
    this.#pair = new Renewed(log);
  }

  /** @throws Error that names the file or plugin that failed; the reason of `signal` when it aborts */
  async current(signal: AbortSignal): Promise<Secrets> {
    const exec = await this.#exec?.get(signal);
    const headers = await this.#headers(exec?.token ?? "", signal);
    const { authority, user } = this.#access;
    const authorities = authority === undefined
      ? undefined
      : await this.#authorities.next(() => this.#readAuthorities(authority, signal), signal);
    const usesPair = user.certificate !== undefined || (exec !== undefined && exec.certificate !== "");
    const pair = usesPair ? await this.#pair.next(() => this.#readPair(signal), signal) : undefined;
    return { headers, tls: { authorities, pair } };
  }

  /** Called when the server answered 401. */
  rejected(): void {
    this.#exec?.forget();
  }

  /** Ends a plugin that runs. */
  [Symbol.dispose](): void {
    this.#exec?.[Symbol.dispose]();
  }

  async #headers(execToken: string, signal: AbortSignal): Promise<Secrets["headers"]> {
    const { user } = this.#access;
    const headers: [string, string][] = user.impersonation.map(([name, value]) => [name, value]);
    const { token: source } = user;
    const token = source === undefined
      ? execToken
      : "text" in source
      ? source.text
      : await this.#token.next(() => this.#readToken(source.file, signal), signal);
    if (token !== "") headers.push(["Authorization", `Bearer ${token}`]);
    else if (user.basic !== undefined) {
      const bytes = new TextEncoder().encode(`${user.basic.username}:${user.basic.password}`);
      headers.push(["Authorization", `Basic ${bytes.toBase64()}`]);
    }
    return headers;
  }

  async #readToken(file: string, signal: AbortSignal): Promise<string> {
    const token = (await this.#files.read("token", file, signal)).trim();
    if (token === "") throw new Error(`token ${file}: is empty`);
    return token;
  }

  async #readAuthorities(source: PemSource, signal: AbortSignal): Promise<readonly string[]> {
    const certificates = certificatesIn(await this.#text("certificate-authority", source, signal));
    if (certificates.length > 0) return certificates;
    throw new Error(`${describe("certificate-authority", source)}: contains no certificate in PEM format`);
  }

  async #readPair(signal: AbortSignal): Promise<KeyPair> {
    const texts = await this.#pairTexts(signal);
    const checked = this.#checked;
    if (checked?.texts.certificate === texts.certificate && checked.texts.key === texts.key) {
      return checked.pair;
    }
    try {
      const pair = checkKeyPair(texts);
      this.#checked = { texts, pair };
      return pair;
    } catch (error) {
      // The next attempt asks the plugin for another pair.
      if (this.#access.user.certificate === undefined) this.#exec?.forget();
      throw error;
    }
  }

  async #pairTexts(signal: AbortSignal): Promise<KeyPairTexts> {
    const { certificate: source, exec } = this.#access.user;
    if (source === undefined) {
      const { certificate = "", key = "" } = await this.#exec?.get(signal) ?? {};
      const from = `credential plugin ${exec?.command}:`;
      return { certificate, certificateFrom: `${from} certificate`, key, keyFrom: "key" };
    }
    const [certificate, key] = await Promise.all([
      this.#text("client-certificate", source.chain, signal),
      this.#text("client-key", source.key, signal),
    ]);
    return {
      certificate,
      certificateFrom: describe("client-certificate", source.chain),
      key,
      keyFrom: describe("client-key", source.key),
    };
  }

  async #text(field: string, source: PemSource, signal: AbortSignal): Promise<string> {
    return "text" in source ? source.text : await this.#files.read(field, source.file, signal);
  }
}

function describe(field: string, source: PemSource): string {
  return "text" in source ? `${field}-data` : `${field} ${source.file}`;
}
