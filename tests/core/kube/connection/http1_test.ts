import { deepEqual, equal, rejects } from "node:assert/strict";
import type { ByteStream } from "../../../../core/kube/connection/byte_stream.ts";
import { exchange } from "../../../../core/kube/connection/http1.ts";

/** A connection whose server sends `pieces`, one per read, and then closes. */
function connection(...pieces: readonly string[]) {
  const left = [...pieces];
  const seen = { sent: "", isClosed: false };
  const stream: ByteStream = {
    read() {
      const piece = left.shift();
      return Promise.resolve(piece === undefined ? null : new TextEncoder().encode(piece));
    },
    write(bytes) {
      seen.sent += new TextDecoder().decode(bytes);
      return Promise.resolve();
    },
    close: () => void (seen.isClosed = true),
  };
  return { stream, seen };
}

const root = { path: "/", body: undefined };
const unaborted = new AbortController().signal;

async function bodyOf(...pieces: readonly string[]): Promise<string> {
  const { stream, seen } = connection(...pieces);
  const text = await (await exchange(stream, "x", root, [], unaborted)).text();
  equal(seen.isClosed, true);
  return text;
}

const ok = "HTTP/1.1 200 OK\r\n";

Deno.test("a request is one head, with headers of the same name apart", async () => {
  const { stream, seen } = connection(`${ok}Content-Length: 0\r\n\r\n`);
  await exchange(stream, "x:6443", { path: "/a?b=c", body: undefined }, [["Impersonate-Group", "a"], [
    "Impersonate-Group",
    "b",
  ]], unaborted);
  equal(
    seen.sent,
    "GET /a?b=c HTTP/1.1\r\nHost: x:6443\r\nImpersonate-Group: a\r\nImpersonate-Group: b\r\nConnection: close\r\n\r\n",
  );
  await rejects(exchange(connection().stream, "x", root, [["A", "b\r\nC: d"]], unaborted), TypeError);
});

Deno.test("a request with a body is a POST request with its length in bytes", async () => {
  const { stream, seen } = connection(`${ok}Content-Length: 0\r\n\r\n`);
  await exchange(stream, "x", { path: "/a", body: '"…"' }, [], unaborted);
  equal(seen.sent, 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"…"');
});

Deno.test("a body ends with its length, its last chunk or the connection, wherever the reads break it", async () => {
  const chunked =
    `${ok}Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n`;
  for (
    const [response, body] of [
      [`${ok}content-length: 5\r\n\r\nhello`, "hello"],
      [chunked, "abc0123456789"],
      [`${ok}\r\nhello`, "hello"],
      [`HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 2\r\n\r\nhi`, "hi"],
      ["HTTP/1.1 204 No Content\r\n\r\n", ""],
    ] as const
  ) {
    equal(await bodyOf(response), body);
    equal(await bodyOf(...response), body, "byte by byte");
  }
});

Deno.test("a response that breaks off or is not HTTP is an error", async () => {
  for (
    const [response, message] of [
      ["", /the server closed the connection/],
      ["HTTP/1.1 200 OK\r\nA: b\r\n", /the server closed the connection/],
      ["SSH-2.0-x\r\n", /the response is not HTTP\/1\.1: "SSH-2\.0-x"/],
      [`${ok}Content-Length: 5\r\n\r\nhel`, /in the middle of a response/],
      [`${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhel`, /in the middle of a response/],
      [`${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, /the server closed the connection/],
      [`${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, /invalid chunk size "zz"/],
      [`${ok}${"A: b\r\n".repeat(201)}\r\n`, /more than 200 headers/],
      [`${ok}A: ${"b".repeat(100_000)}`, /a line of more than/],
    ] as const
  ) await rejects(bodyOf(response), message);
});

Deno.test("an abort closes the connection", async () => {
  const { stream, seen } = connection(`${ok}\r\nhello`);
  const stop = new AbortController();
  const response = await exchange(stream, "x", root, [], stop.signal);
  equal(seen.isClosed, false);
  stop.abort();
  equal(seen.isClosed, true);
  await response.body?.cancel();
  const late = connection();
  await rejects(exchange(late.stream, "x", root, [], stop.signal), /abort/i);
  deepEqual(late.seen, { sent: "", isClosed: true });
});
