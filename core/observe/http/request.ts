/** Largest body that is read. Other bodies are skipped. */
export const MAX_READ_BODY_BYTES = 1024;

/** A request, as much of it as decides the answer. */
export interface HttpRequest {
  readonly method: string;
  /** Path of the request target as sent, with its escapes: "/%68ealthz". "*" and "" occur as well. */
  readonly escapedPath: string;
  /** Path without escapes: "/healthz". */
  readonly path: string;
  /** Query with its question mark; "" for none. */
  readonly query: string;
  readonly version: "HTTP/1.0" | "HTTP/1.1";
  /** True when the client wants to send another request over this connection. */
  readonly keepsAlive: boolean;
  /** True when HTTP/1.0 needs the answer "Connection: keep-alive". */
  readonly asksToKeepAlive: boolean;
  /** Length of the body that follows; Infinity when only its end tells. */
  readonly bodyBytes: number;
  /** True when the client sends its body only after an interim answer. */
  readonly expectsContinue: boolean;
  readonly acceptsGzip: boolean;
  /** Value of the header Host, in lower case; "" when it is missing. */
  readonly host: string;
  /** Media types that the client accepts: the header Accept, its lines joined; "" when it is missing. */
  readonly accept: string;
  /** Body of a PUT request of up to `MAX_READ_BODY_BYTES`, in Latin-1; "" for other requests. */
  readonly body: string;
}

/** A request that gets an error as its answer. The connection cannot be used any further. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  constructor(readonly status: number, readonly detail = "") {
    super(detail);
  }
}

/**
 * Parses the head of a request as Go's net/http does, which load balancers and probes are used to: the path
 * comes from the request line alone, a Host may be empty but has to be there, lines may end without a
 * carriage return.
 * @param head everything before the empty line, in Latin-1.
 * @throws RequestError
 */
export function parseHead(head: string): HttpRequest {
  const [requestLine = "", ...rest] = head.split(/\r?\n/);
  const { method, target, minor } = parseRequestLine(requestLine);
  const { escapedPath, query, hasHost } = parseTarget(method, target);
  const headers = parseHeaders(rest);
  checkHost(headers.get("host") ?? [], minor >= 1 && !hasHost && method !== "CONNECT");
  const bodyBytes = bodyLength(headers);
  const connection = tokens(headers.get("connection"));
  const expectations = tokens(headers.get("expect"));
  if (expectations.some((expectation) => expectation !== "100-continue")) throw new RequestError(417);
  const asksToKeepAlive = minor === 0 && connection.includes("keep-alive");
  return {
    method,
    escapedPath,
    path: escapedPath.replace(
      /%([0-9a-f]{2})/gi,
      (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    query,
    version: minor === 0 ? "HTTP/1.0" : "HTTP/1.1",
    keepsAlive: asksToKeepAlive || (minor >= 1 && !connection.includes("close")),
    asksToKeepAlive,
    bodyBytes,
    expectsContinue: expectations.length > 0 && bodyBytes > 0,
    acceptsGzip: tokens(headers.get("accept-encoding")).some((coding) =>
      /^gzip(?!.*;\s*q=0(\.0*)?$)\s*(;|$)/.test(coding)
    ),
    host: (headers.get("host") ?? []).join().toLowerCase(),
    accept: (headers.get("accept") ?? []).join(", "),
    body: "",
  };
}

type Headers = ReadonlyMap<string, readonly string[]>;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function parseRequestLine(line: string): { method: string; target: string; minor: number } {
  const [, method, target = "", protocol = ""] = /^([^ ]*) ([^ ]*) (.*)$/.exec(line) ?? [];
  if (method === undefined || !TOKEN.test(method)) throw new RequestError(400);
  const [, major, minor] = /^HTTP\/(\d)\.(\d)$/.exec(protocol) ?? [];
  if (major === undefined) throw new RequestError(400);
  if (major !== "1") throw new RequestError(505, "unsupported protocol version");
  return { method, target, minor: Number(minor) };
}

/** Takes the path and the query out of a request target in any of its four forms (RFC 9112 §3.2). */
function parseTarget(
  method: string,
  target: string,
): { escapedPath: string; query: string; hasHost: boolean } {
  if (target === "*" || (method === "CONNECT" && !target.startsWith("/"))) {
    return { escapedPath: target === "*" ? "*" : "", query: "", hasHost: false };
  }
  const [, authority, pathAndQuery = target] = /^[a-z][a-z0-9+.\-]*:\/\/([^/?]*)(.*)$/i.exec(target) ?? [];
  if (authority === undefined && !target.startsWith("/")) throw new RequestError(400);
  const start = pathAndQuery.indexOf("?");
  const escapedPath = start < 0 ? pathAndQuery : pathAndQuery.slice(0, start);
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f]/.test(target) || /%(?![0-9a-f]{2})/i.test(escapedPath)) throw new RequestError(400);
  const query = start < 0 ? "" : pathAndQuery.slice(start);
  return { escapedPath, query, hasHost: authority !== undefined && authority !== "" };
}

/** @returns the values by the name in lower case. */
function parseHeaders(lines: readonly string[]): Headers {
  const headers = new Map<string, string[]>();
  let last: string[] | undefined;
  for (const line of lines) {
    if (/^[ \t]/.test(line)) {
      // The line continues the value before it: an obsolete form that Go accepts.
      if (last === undefined) throw new RequestError(400);
      last.push(`${last.pop() ?? ""} ${checkedValue(line)}`.trim());
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 1) throw new RequestError(400);
    const name = line.slice(0, colon);
    if (!TOKEN.test(name)) throw new RequestError(400, "invalid header name");
    last = headers.get(name.toLowerCase()) ?? [];
    last.push(checkedValue(line.slice(colon + 1)));
    headers.set(name.toLowerCase(), last);
  }
  return headers;
}

function checkedValue(value: string): string {
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) throw new RequestError(400, "invalid header value");
  return value.trim();
}

/** Checks the syntax of Host. Its value matters to routes with a protection (host_names.ts). */
function checkHost(hosts: readonly string[], isRequired: boolean): void {
  if (isRequired && hosts.length === 0) throw new RequestError(400, "missing required Host header");
  if (hosts.length > 1) throw new RequestError(400, "too many Host headers");
  const [host = ""] = hosts;
  if (/[^0-9A-Za-z!$%&'()*+,\-.:;=\[\]_~]/.test(host)) throw new RequestError(400, "malformed Host header");
}

function bodyLength(headers: Headers): number {
  const encodings = headers.get("transfer-encoding");
  if (encodings !== undefined) {
    if (encodings.join().toLowerCase() !== "chunked") {
      throw new RequestError(501, "unsupported transfer encoding");
    }
    return Infinity;
  }
  const lengths = new Set(headers.get("content-length"));
  const [length = "0"] = lengths;
  if (lengths.size > 1 || !/^\d{1,15}$/.test(length)) throw new RequestError(400);
  return Number(length);
}

function tokens(values: readonly string[] = []): readonly string[] {
  return values.flatMap((value) => value.toLowerCase().split(",")).map((token) => token.trim())
    .filter((token) => token !== "");
}
