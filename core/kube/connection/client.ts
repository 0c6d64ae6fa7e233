import type { TlsSecrets } from "../access/credentials.ts";

/** Sends requests to one server with fixed TLS secrets. */
export interface Client {
  /** @throws Error that says why there is no response */
  send(request: ClientRequest, headers: Headers, signal: AbortSignal): Promise<Response>;
  /** Ends the connections that no request uses. */
  close(): void;
}

export interface ClientRequest {
  /** Path with its query, after the path of the server's URL. */
  readonly path: string;
  /** JSON for a POST request; undefined for a GET request. */
  readonly body: string | undefined;
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
