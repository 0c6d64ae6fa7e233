import { AccessError, type ClusterAccess } from "../access/cluster_access.ts";
import type { Credentials, TlsSecrets } from "../access/credentials.ts";

/** Sends requests to the API server, all over one HTTP/2 connection if the server supports it. */
export class Transport implements Disposable {
  #lastHeard = performance.now();
  #connection: { readonly tls: TlsSecrets; readonly client: Deno.HttpClient } | undefined;

  readonly #access: ClusterAccess;
  readonly #credentials: Credentials;
  /** User-Agent, such as "proxy/0.1.0". */
  readonly #userAgent: string;

  constructor(access: ClusterAccess, credentials: Credentials, userAgent: string) {
    this.#access = access;
    this.#credentials = credentials;
    this.#userAgent = userAgent;
  }

  /**
   * Sends a GET request.
   * @param path with its query, relative to the server's URL
   * @throws Error that says why there is no response; the reason of `signal` when it aborted
   */
  async get(path: string, signal: AbortSignal): Promise<Response> {
    const { headers, tls } = await this.#credentials.current();
    const url = this.#url(path);
    try {
      return await fetch(url, {
        headers: [...headers, ["Accept", "application/json"], ["User-Agent", this.#userAgent]],
        client: this.#client(tls),
        redirect: "manual",
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new Error(explain(error), { cause: error });
    }
  }

  /** Records that data arrived from the server. */
  heard(): void {
    this.#lastHeard = performance.now();
  }

  /** When data arrived last, initially when the transport was created, on the clock of performance.now(). */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /**
   * Opens a new connection for the next request, because a hanging connection blocks every request that shares it.
   * Requests in flight keep the old one.
   */
  reconnect(): void {
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  [Symbol.dispose](): void {
    this.reconnect();
  }

  #url(path: string): string {
    const { server } = this.#access;
    return `${server.origin}${server.pathname.replace(/\/$/, "")}${path}`;
  }

  #client(tls: TlsSecrets): Deno.HttpClient {
    if (this.#connection !== undefined && isSame(this.#connection.tls, tls)) return this.#connection.client;
    this.reconnect();
    const { proxyUrl, origin } = this.#access;
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

/** The cause in the message of a failed request, and what to do where that is known. */
function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const why = message.replace(/^error sending request.*?: (?:client error \(\w+\): )?/, "");
  if (/not valid for name|NotValidForName/.test(why)) {
    return `${why}; use one of these names as the server's host name (an entry in /etc/hosts is enough)`;
  }
  if (/UnknownIssuer|BadSignature/.test(why)) {
    return `${why}: the server's certificate is not signed by the certificate-authority of the kubeconfig`;
  }
  return why;
}
