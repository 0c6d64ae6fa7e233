import { parseAddress } from "../../net/address.ts";

/** Address that a server listens on. `hostname` is an IP address without brackets. */
export interface ListenAddress {
  readonly hostname: string;
  readonly port: number;
}

/** Splits "10.0.0.1:80" or "[::1]:80". Undefined if there is no port or the syntax is wrong. Does not check the parts. */
export function splitHostPort(text: string): { readonly host: string; readonly port: string } | undefined {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(text);
  if (match === null) return undefined;
  return { host: match[1] ?? match[2] ?? "", port: match[3] ?? "" };
}

/** Parses IP:port. Undefined if the text is something else or the port is not in 1-65535. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const parts = splitHostPort(text);
  if (parts === undefined || parseAddress(parts.host) === undefined) return undefined;
  const port = /^\d{1,5}$/.test(parts.port) ? Number(parts.port) : 0;
  return port >= 1 && port <= 65535 ? { hostname: parts.host, port } : undefined;
}

/** Appends the port to an IP address that has none. */
export function withPort(address: string, port: number): string {
  if (parseAddress(address) === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Formats as "10.0.0.1:80" or "[::1]:80". */
export function formatListenAddress(address: ListenAddress): string {
  return withPort(address.hostname, address.port);
}
