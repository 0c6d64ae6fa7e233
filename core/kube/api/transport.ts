import type { ClusterAccess } from "../access/cluster_access.ts";
import type { Credentials, TlsSecrets } from "../access/credentials.ts";
import type { Client, ClientOptions, ClientRequest, Headers } from "../connection/client.ts";
import { FetchClient, isForFetch } from "../connection/fetch_client.ts";
import { OpensslClient } from "../connection/openssl_client.ts";

/** Observes the requests, for metrics. */
export interface RequestObserver {
  requestEnded(request: EndedRequest): void;
  /** The body of an answer was read to its end. Not called for watches. */
  answerRead(answer: ReadAnswer): void;
}

export interface ReadAnswer extends Pick<EndedRequest, "method" | "host"> {
  /** Size of the body, decompressed. */
  readonly bytes: number;
}

export interface EndedRequest {
  readonly method: "GET" | "POST";
  /** Host and port of the server. */
  readonly host: string;
  /** Status of the answer; undefined for none. */
  readonly status: number | undefined;
  /** Time to the head of the answer. */
  readonly seconds: number;
  /** Size of the request's body; 0 for none. */
  readonly bytes: number;
}

export interface TransportOptions {
  readonly access: ClusterAccess;
  readonly credentials: Credentials;
  /** User-Agent, such as "proxy/0.1.0". */
  readonly userAgent: string;
  readonly observer?: RequestObserver;
}

/** Sends requests to the API server, all over one HTTP/2 connection if the server supports it. */
export class Transport implements Disposable {
  #lastHeard = performance.now();
  #connection: { readonly tls: TlsSecrets; readonly client: Client } | undefined;
  /** Secrets with which only OpenSSL can connect to this server. */
  #onlyForOpenssl: TlsSecrets | undefined;

  readonly #access: ClusterAccess;
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#access = options.access;
    this.#options = options;
  }

  /**
   * Sends a GET request.
   * @param path with its query, relative to the server's URL
   * @param sending called when the credentials are there and the server is asked
   * @throws Error that says why there is no response; the reason of `signal` when it aborted
   */
  async get(path: string, signal: AbortSignal, sending: () => void = () => {}): Promise<Response> {
    return await this.#request({ path, body: undefined }, signal, sending);
  }

  /**
   * Sends a POST request, and otherwise as `get`.
   * @param body JSON
   */
  async post(path: string, body: string, signal: AbortSignal): Promise<Response> {
    return await this.#request({ path, body }, signal, () => {});
  }

  async #request(request: ClientRequest, signal: AbortSignal, sending: () => void): Promise<Response> {
    const { headers, tls } = await this.#options.credentials.current(signal);
    signal.throwIfAborted();
    sending();
    const started = performance.now();
    const all: Headers = [
      ...headers,
      ["Accept", "application/json"],
      ...(request.body === undefined ? [] : [["Content-Type", "application/json"] as const]),
      ["User-Agent", this.#options.userAgent],
    ];
    try {
      const response = await this.#send(tls, request, all, signal);
      this.#observe(request, started, response.status);
      return response;
    } catch (error) {
      signal.throwIfAborted();
      this.#observe(request, started, undefined);
      throw new Error(explain(error), { cause: error });
    }
  }

  #observe({ body }: ClientRequest, started: number, status: number | undefined): void {
    this.#options.observer?.requestEnded({
      method: body === undefined ? "GET" : "POST",
      host: this.#access.server.host,
      status,
      seconds: (performance.now() - started) / 1000,
      bytes: body === undefined ? 0 : new TextEncoder().encode(body).length,
    });
  }

  /** Records that the body of an answer was read to its end, for the metrics. */
  answerRead(method: ReadAnswer["method"], bytes: number): void {
    this.#options.observer?.answerRead({ method, host: this.#access.server.host, bytes });
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

  /** Sends a request with fetch if possible, and with OpenSSL if rustls rejects the server's certificate. */
  async #send(
    tls: TlsSecrets,
    request: ClientRequest,
    headers: Headers,
    signal: AbortSignal,
  ): Promise<Response> {
    const options = { address: this.#access, tls };
    const known = this.#onlyForOpenssl;
    if (!isForFetch(options) || (known !== undefined && isSame(known, tls))) {
      return await this.#client(options, OpensslClient).send(request, headers, signal);
    }
    try {
      return await this.#client(options, FetchClient).send(request, headers, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (this.#access.server.protocol !== "https:" || !isRejectedCertificate(error)) throw error;
      return await this.#retryWithOpenssl(options, request, headers, signal, error);
    }
  }

  async #retryWithOpenssl(
    options: ClientOptions,
    request: ClientRequest,
    headers: Headers,
    signal: AbortSignal,
    rejection: unknown,
  ): Promise<Response> {
    let client;
    try {
      client = new OpensslClient(options);
      const response = await client.send(request, headers, signal);
      this.reconnect();
      this.#connection = { tls: options.tls, client };
      this.#onlyForOpenssl = options.tls;
      return response;
    } catch (error) {
      client?.close();
      signal.throwIfAborted();
      const second = error instanceof Error ? error.message : String(error);
      throw new Error(`${errorMessage(rejection)} (OpenSSL: ${second})`);
    }
  }

  #client(options: ClientOptions, kind: new (options: ClientOptions) => Client): Client {
    const connection = this.#connection;
    if (connection?.client instanceof kind && isSame(connection.tls, options.tls)) return connection.client;
    this.reconnect();
    const client = new kind(options);
    this.#connection = { tls: options.tls, client };
    return client;
  }
}

function isSame(a: TlsSecrets, b: TlsSecrets): boolean {
  const text = ({ authorities, pair }: TlsSecrets) =>
    [authorities === undefined, ...authorities ?? [], "", ...pair?.chain ?? [], pair?.key ?? ""].join("\n");
  return a === b || text(a) === text(b);
}

/** True for errors about the server's certificate or an authority, which OpenSSL may accept. */
function isRejectedCertificate(error: unknown): boolean {
  return /certificate|BadEncoding|pem file/i.test(errorMessage(error));
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The cause in the message of a failed request, and what to do where that is known. */
function explain(error: unknown): string {
  const why = errorMessage(error).replace(/^error sending request.*?: (?:client error \(\w+\): )?/, "");
  if (/not valid for name|NotValidForName|hostname mismatch|IP address mismatch/i.test(why)) {
    return `${why}; use one of the certificate's names as tls-server-name in the kubeconfig, or as the server's host name`;
  }
  if (/UnknownIssuer|BadSignature|unable to get (local )?issuer|self-signed certificate/i.test(why)) {
    return `${why}: the server's certificate is not signed by the certificate-authority of the kubeconfig`;
  }
  return why;
}
