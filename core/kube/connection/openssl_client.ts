import { TlsClient } from "../../../ffi/tls.ts";
import type { ByteStream } from "./byte_stream.ts";
import {
  type Client,
  type ClientOptions,
  type ClientRequest,
  type Headers,
  requestPath,
  verifiedHost,
} from "./client.ts";
import { exchange } from "./http1.ts";
import { systemRoots } from "./system_roots.ts";
import { TlsStream } from "./tls_stream.ts";
import { dial, targetOf } from "./tunnel.ts";

/**
 * Sends requests by HTTP/1.1 with OpenSSL, one connection per request. It does what Go's TLS does and rustls does not: a
 * server name other than the URL's host, a server that is not verified, a server certificate that is its own authority
 * or is trusted itself, and certificates of X.509 version 1.
 */
export class OpensslClient implements Client {
  readonly #tls: TlsClient;
  readonly #authorities: readonly string[];

  readonly #options: ClientOptions;

  /** @throws TlsError when OpenSSL rejects a certificate; LibraryError when there is no OpenSSL */
  constructor(options: ClientOptions) {
    this.#options = options;
    const { address, tls: { authorities, pair } } = options;
    this.#authorities = address.isInsecure ? [] : authorities ?? systemRoots();
    this.#tls = new TlsClient({
      authorities: this.#authorities,
      verify: !address.isInsecure,
      chain: pair?.chain ?? [],
      key: pair?.key ?? "",
    });
  }

  async send({ path, body }: ClientRequest, headers: Headers, signal: AbortSignal): Promise<Response> {
    const { address } = this.#options;
    const { server, proxyUrl } = address;
    const connection = await dial(targetOf(server, 443), proxyUrl, this.#authorities, signal);
    const stream = await this.#startTls(connection, signal);
    const request = { path: requestPath(address, path), body };
    return await exchange(stream, server.host, request, headers, signal);
  }

  close(): void {
    this.#tls[Symbol.dispose]();
  }

  async #startTls(connection: ByteStream, signal: AbortSignal): Promise<TlsStream> {
    const close = () => connection.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      signal.throwIfAborted();
      return await TlsStream.start(connection, this.#tls, verifiedHost(this.#options.address));
    } catch (error) {
      close();
      throw error;
    } finally {
      signal.removeEventListener("abort", close);
    }
  }
}
