import { type Client, type ClientOptions, type ClientRequest, type Headers, requestPath } from "./client.ts";
import { withVariables } from "./environment.ts";
import { systemRoots } from "./system_roots.ts";

/** Sends requests with Deno's fetch: all over one HTTP/2 connection if the server supports it. TLS is rustls. */
export class FetchClient implements Client {
  readonly #client: Deno.HttpClient;

  readonly #options: ClientOptions;

  /** @throws Error when rustls rejects an authority */
  constructor(options: ClientOptions) {
    this.#options = options;
    this.#client = createClient(options);
  }

  async send({ path, body }: ClientRequest, headers: Headers, signal: AbortSignal): Promise<Response> {
    const { address } = this.#options;
    return await fetch(`${address.server.origin}${requestPath(address, path)}`, {
      headers: headers.map(([name, value]): [string, string] => [name, value]),
      client: this.#client,
      redirect: "manual",
      ...(body !== undefined && { method: "POST", body }),
      signal,
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** True when fetch can do what the options ask for. Its TLS always verifies the server for the host of the URL. */
export function isForFetch({ address, tls }: ClientOptions): boolean {
  if (address.server.protocol !== "https:") return true;
  const isOwnName = address.tlsServerName === "" || address.tlsServerName === address.server.hostname;
  return isOwnName && !address.isInsecure && tls.pair?.isForRustls !== false;
}

function createClient({ address: { proxyUrl }, tls: { authorities, pair } }: ClientOptions): Deno.HttpClient {
  const create = () =>
    Deno.createHttpClient({
      caCerts: [...authorities ?? systemRoots()],
      ...(proxyUrl !== "" && { proxy: proxyOf(new URL(proxyUrl)) }),
      ...(pair !== undefined && { cert: pair.chain.join(""), key: pair.key }),
    });
  // Deno reads these variables while it creates a client. The proxy is already decided (proxy_environment.ts), so NO_PROXY
  // excludes all addresses, or none. Without a store, only `caCerts` count.
  return withVariables({
    NO_PROXY: proxyUrl === "" ? "0.0.0.0/0,::/0,*" : "",
    ...(authorities !== undefined && { DENO_TLS_CA_STORE: "" }),
  }, create);
}

function proxyOf(url: URL): Deno.Proxy {
  const basicAuth = {
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
  const plain = `${url.protocol}//${url.host}`;
  return url.username === "" ? { url: plain } : { url: plain, basicAuth };
}
