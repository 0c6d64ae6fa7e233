import { BufferedReader, type ByteStream } from "./byte_stream.ts";
import type { ClientRequest } from "./client.ts";

/**
 * Sends a request by HTTP/1.1 over a connection of its own, which is closed at the end of the response's body, when the
 * body is cancelled, and when the signal aborts.
 */
export async function exchange(
  stream: ByteStream,
  host: string,
  { path, body }: ClientRequest,
  headers: readonly (readonly [name: string, value: string])[],
  signal: AbortSignal,
): Promise<Response> {
  const close = () => stream.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    const content = body === undefined ? new Uint8Array() : new TextEncoder().encode(body);
    const all = [
      ["Host", host],
      ...headers,
      ...(body === undefined ? [] : [["Content-Length", String(content.length)] as const]),
      ["Connection", "close"],
    ] as const;
    const method = body === undefined ? "GET" : "POST";
    await stream.write(latin1(`${method} ${path} HTTP/1.1\r\n${all.map(headerLine).join("")}\r\n`));
    if (content.length > 0) await stream.write(content);
    const reader = new BufferedReader(stream);
    let head = await readHead(reader);
    while (head.status >= 100 && head.status < 200) head = await readHead(reader);
    const { status, statusText } = head;
    const hasBody = status !== 204 && status !== 304;
    if (!hasBody) close();
    const answer = hasBody ? bodyStream(reader, head.headers, close) : null;
    return new Response(answer, { status, statusText, headers: head.headers });
  } catch (error) {
    close();
    signal.throwIfAborted();
    throw error;
  }
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
}

async function readHead(reader: BufferedReader): Promise<Head> {
  const line = await reader.line();
  const [, status, statusText = ""] = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(line) ?? [];
  if (status === undefined) {
    throw new Error(`the response is not HTTP/1.1: ${JSON.stringify(line.slice(0, 80))}`);
  }
  const headers = new Headers();
  let count = 0;
  for (let next = await reader.line(); next !== ""; next = await reader.line()) {
    if (++count > MAX_HEADERS) throw new Error(`a response with more than ${MAX_HEADERS} headers`);
    const colon = next.indexOf(":");
    if (colon > 0) headers.append(next.slice(0, colon), next.slice(colon + 1).trim());
  }
  return { status: Number(status), statusText, headers };
}

function bodyStream(reader: BufferedReader, headers: Headers, close: () => void): ReadableStream<Uint8Array> {
  const chunks = isChunked(headers)
    ? chunked(reader)
    : headers.has("content-length")
    ? counted(reader, Number(headers.get("content-length")))
    : untilClose(reader);
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        if (!done) return controller.enqueue(value);
        close();
        controller.close();
      } catch (error) {
        close();
        controller.error(error);
      }
    },
    cancel: close,
  }, { highWaterMark: 0 });
}

function isChunked(headers: Headers): boolean {
  return /\bchunked\s*$/i.test(headers.get("transfer-encoding") ?? "");
}

type Chunks = AsyncGenerator<Uint8Array<ArrayBuffer>, void>;

async function* chunked(reader: BufferedReader): Chunks {
  for (;;) {
    const line = await reader.line();
    const size = /^[0-9a-fA-F]{1,8}(?=\s*(?:;|$))/.exec(line)?.[0];
    if (size === undefined) throw new Error(`invalid chunk size ${JSON.stringify(line.slice(0, 80))}`);
    if (parseInt(size, 16) === 0) break;
    yield* counted(reader, parseInt(size, 16));
    await reader.line();
  }
  while (await reader.line() !== "");
}

async function* counted(reader: BufferedReader, length: number): Chunks {
  for (let left = length; left > 0;) {
    const bytes = await reader.some(left);
    if (bytes === null) throw new Error("the server closed the connection in the middle of a response");
    left -= bytes.length;
    yield bytes;
  }
}

async function* untilClose(reader: BufferedReader): Chunks {
  for (let bytes = await reader.some(Infinity); bytes !== null; bytes = await reader.some(Infinity)) {
    yield bytes;
  }
}

/** One header. Headers of the same name stay apart, because each Impersonate-Group is one group. */
function headerLine([name, value]: readonly [name: string, value: string]): string {
  // Headers rejects names and values that could add a line.
  const valid = new Headers([[name, value]]).get(name) ?? "";
  return `${name}: ${valid}\r\n`;
}

function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const MAX_HEADERS = 200;
