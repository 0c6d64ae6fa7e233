import type { TlsSecrets } from "../access/credentials.ts";

/** Sends requests to one server with fixed TLS secrets. */
export interface Client {
  /**
   * Sends a GET request.
   * @param path with its query, after the path of the server's URL
   * @throws Error that says why there is no response
   */
  get(path: string, headers: Headers, signal: AbortSignal): Promise<Response>;
  /** Ends the connections that no request uses. */
  close(): void;
}

export type Headers = readonly (readonly [name: string, value: string])[];

/** The server and how to reach it, as in ClusterAccess. */
export interface ServerAddress {
  readonly server: URL;
  readonly tlsServerName: string;
  readonly isInsecure: boolean;
  readonly proxyUrl: string;
}

/** A server and the TLS secrets for it. */
export interface ClientOptions {
  readonly address: ServerAddress;
  readonly tls: TlsSecrets;
}

/** Path of the server's URL, with that of the request. */
export function requestPath({ server }: ServerAddress, path: string): string {
  return `${server.pathname.replace(/\/$/, "")}${path}`;
}

/** The host that the server's certificate must name, without brackets for IPv6. */
export function verifiedHost({ server, tlsServerName }: ServerAddress): string {
  return tlsServerName === "" ? server.hostname.replace(/^\[|\]$/g, "") : tlsServerName;
}
