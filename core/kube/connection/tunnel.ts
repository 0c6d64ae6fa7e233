import { BufferedReader, type ByteStream, ConnectionStream } from "./byte_stream.ts";

/** The host and port to reach. */
export interface Target {
  /** Without brackets for IPv6. */
  readonly hostname: string;
  readonly port: number;
}

/**
 * Opens a connection to the target, through a proxy if one is given.
 * @param proxyUrl http://, https:// (CONNECT) or socks5://; "" for a direct connection
 * @param authorities PEM certificates to verify an https proxy with, as Go does
 * @throws the reason of `signal` when it aborts
 */
export async function dial(
  target: Target,
  proxyUrl: string,
  authorities: readonly string[],
  signal: AbortSignal,
): Promise<ByteStream> {
  if (proxyUrl === "") return new ConnectionStream(await connect(target, signal));
  const proxy = new URL(proxyUrl);
  const address = targetOf(proxy, PROXY_PORTS[proxy.protocol] ?? 80);
  const connection = proxy.protocol === "https:"
    ? await opened(Deno.connectTls({ ...address, caCerts: [...authorities] }), signal)
    : await connect(address, signal);
  const stream = new ConnectionStream(connection);
  const close = () => stream.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    if (proxy.protocol.startsWith("socks5")) await socks5(stream, proxy, target);
    else await httpConnect(stream, proxy, target);
    return stream;
  } catch (error) {
    stream.close();
    signal.throwIfAborted();
    throw new Error(`proxy ${proxy.host}: ${error instanceof Error ? error.message : error}`);
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** Host and port of a URL. */
export function targetOf(url: URL, defaultPort: number): Target {
  return { hostname: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || defaultPort };
}

const PROXY_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "socks5:": 1080,
  "socks5h:": 1080,
};

function connect(address: Target, signal: AbortSignal): Promise<Deno.Conn> {
  return opened(Deno.connect({ ...address, signal }), signal);
}

/** Waits for a connection. One that is established after the abort is closed. */
async function opened(connecting: Promise<Deno.Conn>, signal: AbortSignal): Promise<Deno.Conn> {
  const connection = await connecting;
  if (!signal.aborted) return connection;
  connection.close();
  throw signal.reason;
}

async function httpConnect(stream: ByteStream, proxy: URL, target: Target): Promise<void> {
  const host = target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname;
  const authority = `${host}:${target.port}`;
  const { username, password } = credentials(proxy);
  const basic = new TextEncoder().encode(`${username}:${password}`).toBase64();
  const lines = [
    `CONNECT ${authority} HTTP/1.1`,
    `Host: ${authority}`,
    ...(username === "" ? [] : [`Proxy-Authorization: Basic ${basic}`]),
  ];
  await stream.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  // The target speaks only after we have, so nothing of it is read ahead here.
  const reader = new BufferedReader(stream);
  const status = await reader.line();
  while (await reader.line() !== "");
  if (!/^HTTP\/1\.[01] 2\d\d\b/.test(status)) throw new Error(`CONNECT ${authority}: ${status}`);
}

/** RFC 1928 and RFC 1929. */
async function socks5(stream: ByteStream, proxy: URL, target: Target): Promise<void> {
  const reader = new BufferedReader(stream);
  const { username, password } = credentials(proxy);
  await stream.write(new Uint8Array(username === "" ? [5, 1, 0] : [5, 2, 0, 2]));
  const [, method] = await reader.exactly(2);
  if (method === 2) {
    const [user, secret] = [username, password].map((text) => new TextEncoder().encode(text));
    await stream.write(new Uint8Array([1, ...counted(user), ...counted(secret)]));
    const [, status] = await reader.exactly(2);
    if (status !== 0) throw new Error("SOCKS5: the credentials are rejected");
  } else if (method !== 0) throw new Error("SOCKS5: no authentication method is accepted");
  const name = new TextEncoder().encode(target.hostname);
  await stream.write(new Uint8Array([5, 1, 0, 3, ...counted(name), target.port >> 8, target.port & 0xff]));
  const [, reply = 0, , kind = 1] = await reader.exactly(4);
  if (reply !== 0) throw new Error(`SOCKS5: reply ${reply}`);
  const [length = 0] = kind === 3 ? await reader.exactly(1) : [kind === 4 ? 16 : 4];
  await reader.exactly(length + 2);
}

function counted(bytes: Uint8Array = new Uint8Array(0)): readonly number[] {
  return [bytes.length, ...bytes];
}

function credentials(url: URL): { readonly username: string; readonly password: string } {
  return { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
}
