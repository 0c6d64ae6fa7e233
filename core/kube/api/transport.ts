import { AccessError, type ClusterAccess } from "../access/cluster_access.ts";
import type { Credentials, TlsSecrets } from "../access/credentials.ts";

/** Sends requests to the API server: one HTTP/2 connection for all of them where the server speaks it. */
export class Transport implements Disposable {
  #lastHeard = performance.now();
  #connection: { readonly tls: TlsSecrets; readonly client: Deno.HttpClient } | undefined;

  constructor(
    private readonly access: ClusterAccess,
    private readonly credentials: Credentials,
    /** "proxy/0.1.0" */
    private readonly userAgent: string,
  ) {}

  /**
   * @param path with its query, below the server's own path.
   * @throws Error that says why there is no answer; the caller's own reason when `signal` aborted.
   */
  async get(path: string, signal: AbortSignal): Promise<Response> {
    const { headers, tls } = await this.credentials.current();
    const url = this.#url(path);
    try {
      return await fetch(url, {
        headers: [...headers, ["Accept", "application/json"], ["User-Agent", this.userAgent]],
        client: this.#client(tls),
        redirect: "manual",
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new Error(explain(error), { cause: error });
    }
  }

  /** Something came from the server. */
  heard(): void {
    this.#lastHeard = performance.now();
  }

  /** When something came last, or when we began to listen, on the clock of performance.now(). */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /**
   * Makes the next request on a new connection: what hangs, hangs for every request that shares it. Requests in
   * flight keep theirs.
   */
  reconnect(): void {
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  [Symbol.dispose](): void {
    this.reconnect();
  }

  #url(path: string): string {
    const { server } = this.access;
    return `${server.origin}${server.pathname.replace(/\/$/, "")}${path}`;
  }

  #client(tls: TlsSecrets): Deno.HttpClient {
    if (this.#connection !== undefined && isSame(this.#connection.tls, tls)) return this.#connection.client;
    this.reconnect();
    const { proxyUrl, origin } = this.access;
    try {
      const client = Deno.createHttpClient({
        ...(tls.authority !== "" && { caCerts: [tls.authority] }),
        ...(proxyUrl !== "" && { proxy: proxyOf(new URL(proxyUrl)) }),
        ...(tls.certificate !== "" && { cert: tls.certificate, key: tls.key }),
      });
      this.#connection = { tls, client };
      return client;
    } catch (error) {
      const problem = error instanceof Error ? error.message : error;
      throw new AccessError(`${origin}: certificate-authority, client-certificate or client-key: ${problem}`);
    }
  }
}

function isSame(a: TlsSecrets, b: TlsSecrets): boolean {
  return a.authority === b.authority && a.certificate === b.certificate && a.key === b.key;
}

function proxyOf(url: URL): Deno.Proxy {
  const basicAuth = {
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
  const plain = `${url.protocol}//${url.host}`;
  return url.username === "" ? { url: plain } : { url: plain, basicAuth };
}

/** The part of a failed request's message that says why, and what to do where that is known. */
function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const why = message.replace(/^error sending request.*?: (?:client error \(\w+\): )?/, "");
  if (/not valid for name|NotValidForName/.test(why)) {
    return `${why}; use one of these names for the server (an entry in /etc/hosts will do)`;
  }
  if (/UnknownIssuer|BadSignature/.test(why)) {
    return `${why}: the server's certificate is not signed by the certificate-authority of the kubeconfig`;
  }
  return why;
}
