import type { HttpRequest, RequestError } from "./request.ts";

/** Smaller bodies fit into one packet. */
const MIN_COMPRESSED_BYTES = 1400;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  302: "Found",
  307: "Temporary Redirect",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/**
 * Encodes a response with its body, which is read to its end first.
 * @param closes true when the connection ends with this response.
 */
export async function encodeResponse(
  response: Response,
  request: HttpRequest,
  closes: boolean,
): Promise<Uint8Array> {
  const { status, statusText, headers } = response;
  let body = await response.bytes();
  if (request.acceptsGzip && isCompressible(headers, body)) {
    body = await gzip(body);
    headers.set("content-encoding", "gzip");
    headers.append("vary", "accept-encoding");
  }
  headers.set("content-length", String(body.length));
  headers.set("date", new Date().toUTCString());
  if (closes) headers.set("connection", "close");
  else if (request.asksToKeepAlive) headers.set("connection", "keep-alive");
  const lines = [...headers].map(([name, value]) => `${canonical(name)}: ${value}\r\n`).join("");
  const head = `${request.version} ${status} ${statusText || (REASONS[status] ?? "")}\r\n${lines}\r\n`;
  return concatenate(latin1(head), request.method === "HEAD" ? new Uint8Array() : body);
}

/** Encodes Go's answer to a request that cannot be understood. The connection ends with it. */
export function errorResponse({ status, detail }: RequestError): Uint8Array {
  const line = `${status} ${REASONS[status] ?? ""}${detail === "" ? "" : `: ${detail}`}`;
  return latin1(
    `HTTP/1.1 ${line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${line}`,
  );
}

/** Spells the name of a header as Go does, for clients that compare it with its case. */
function canonical(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

function isCompressible(headers: Headers, body: Uint8Array): boolean {
  return body.length >= MIN_COMPRESSED_BYTES && !headers.has("content-encoding") &&
    /^(text\/|application\/json)/.test(headers.get("content-type") ?? "");
}

async function gzip(body: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
}

function concatenate(head: Uint8Array, body: Uint8Array): Uint8Array {
  const all = new Uint8Array(head.length + body.length);
  all.set(head);
  all.set(body, head.length);
  return all;
}

/** Header values are bytes: see `ByteString` of the Fetch standard. */
function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
