import { type Address, type Cidr, contains, isLoopback, parseAddress, parseCidr } from "../../net/address.ts";

/**
 * HTTP proxy for the server according to HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as Go's
 * golang.org/x/net/http/httpproxy does; "" for none. localhost and loopback addresses never use a proxy.
 */
export function proxyFromEnvironment(server: URL, env: (name: string) => string | undefined): string {
  const either = (name: string) => env(name) || env(name.toLowerCase()) || "";
  const name = server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  // In a CGI program, HTTP_PROXY is the client's header "Proxy".
  if (name === "HTTP_PROXY" && env("REQUEST_METHOD")) return "";
  const proxy = either(name);
  if (proxy === "" || isExempt(server, either("NO_PROXY"))) return "";
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function isExempt(server: URL, noProxy: string): boolean {
  const host = server.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  const address = parseAddress(host);
  if (host === "localhost" || (address !== undefined && isLoopback(address))) return true;
  const entries = noProxy.split(",").map((entry) => entry.trim().toLowerCase()).filter((entry) =>
    entry !== ""
  );
  return entries.includes("*") || entries.some((entry) => matches(entry, host, port, address));
}

/** Compares one entry of NO_PROXY: a range, or an address or a domain, both with or without a port. */
function matches(entry: string, host: string, port: string, address: Address | undefined): boolean {
  const range: Cidr | undefined = entry.includes("/") ? parseCidr(entry) : undefined;
  if (range !== undefined) return address !== undefined && contains(range, address);
  const [entryHost, entryPort] = splitPort(entry);
  if (entryHost === "" || (entryPort !== "" && entryPort !== port)) return false;
  const entryAddress = parseAddress(entryHost);
  if (entryAddress !== undefined) return entryAddress === address;
  // "example.com" means the domain and its subdomains, ".example.com" and "*.example.com" only the subdomains.
  const domain = entryHost.replace(/^\*\./, ".");
  if (domain.startsWith(".")) return host.endsWith(domain);
  return host === domain || host.endsWith(`.${domain}`);
}

/** Splits "host:port", "[address]:port" and an address of IPv6, which has no port. */
function splitPort(entry: string): readonly [host: string, port: string] {
  const [, bracketed, bracketedPort] = /^\[(.*)\](?::(\d*))?$/.exec(entry) ?? [];
  if (bracketed !== undefined) return [bracketed, bracketedPort ?? ""];
  const [, host, port] = /^([^:]*):([^:]*)$/.exec(entry) ?? [];
  return host === undefined ? [entry, ""] : [host, port ?? ""];
}
