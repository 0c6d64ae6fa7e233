import assert from "node:assert/strict";
import { parseHead, RequestError } from "../../../../core/observe/http/request.ts";

/** Status of the error for a head; the path when it has none. */
function pathOrStatus(head: string): string | number {
  try {
    return parseHead(head).path;
  } catch (error) {
    if (error instanceof RequestError) return error.status;
    throw error;
  }
}

function get(target: string, ...headers: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, "Host: x", ...headers].join("\r\n");
}

// Compared with net/http of Go 1.26, of which each line is the answer.
Deno.test("the path comes from the request line, in each form of the target", () => {
  const cases: readonly (readonly [string, string | number])[] = [
    ["/healthz", "/healthz"],
    ["/healthz?verbose", "/healthz"],
    ["//healthz", "//healthz"],
    ["/%68ealthz", "/healthz"],
    ["/healthz#x", "/healthz#x"],
    ["/%zz", 400],
    ["/?%zz", "/"],
    ["http://node:10256/healthz?x", "/healthz"],
    ["http://node", ""],
    ["healthz", 400],
    ["*", "*"],
    ["/a\x01", 400],
    ["/\xe9", "/\xe9"],
  ];
  for (const [target, expected] of cases) assert.equal(pathOrStatus(get(target)), expected, target);
  assert.equal(pathOrStatus("CONNECT node:80 HTTP/1.1\r\nHost: x"), "");
});

Deno.test("a Host may be empty and is not looked at, but has to be there, once and well-formed", () => {
  const cases: readonly (readonly [string, string | number])[] = [
    ["GET / HTTP/1.1\r\nHost:", "/"],
    ["GET / HTTP/1.1\nhost: [::1]:10256", "/"],
    ["GET / HTTP/1.1", 400],
    ["GET / HTTP/1.0", "/"],
    ["GET http://node/ HTTP/1.1", "/"],
    ["GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400],
    ...["a b", "a/b", "a@b", "a\\b", '"', "\xe9", "a\x00"].map((host) =>
      [`GET / HTTP/1.1\r\nHost: ${host}`, 400] as const
    ),
  ];
  for (const [head, expected] of cases) assert.equal(pathOrStatus(head), expected, head);
});

Deno.test("the media types that the client accepts are all lines of Accept", () => {
  const accept = (...lines: readonly string[]) => parseHead(get("/", ...lines)).accept;
  assert.equal(accept(), "");
  assert.equal(accept("Accept: text/plain;q=0.5, */*;q=0.1"), "text/plain;q=0.5, */*;q=0.1");
  assert.equal(accept("Accept: text/html", "accept: text/plain"), "text/html, text/plain");
});

Deno.test("what is not HTTP/1 is rejected with the status that Go has for it", () => {
  const cases: readonly (readonly [string, string | number])[] = [
    ["", 400],
    ["GET /", 400],
    ["GET  / HTTP/1.1", 400],
    ["G(T / HTTP/1.1", 400],
    ["GET / HTTP/1.x", 400],
    ["GET / http/1.1", 400],
    ["GET / HTTP/2.0\r\nHost: x", 505],
    ["get / HTTP/1.9\r\nHost: x", "/"],
    ["\x16\x03\x01\x00\xa5", 400],
    [get("/", "no colon"), 400],
    [get("/", "a b: c"), 400],
    [get("/", "a : c"), 400],
    [get("/", ": c"), 400],
    [get("/", "a: b\x00c"), 400],
    [get("/", "a: b\rc"), 400],
    [get("/", "a: b", " c"), "/"],
    [["GET / HTTP/1.1", " Host: x"].join("\r\n"), 400],
    [get("/", "Content-Length: -1"), 400],
    [get("/", "Content-Length: 3", "Content-Length: 4"), 400],
    [get("/", "Content-Length: 3", "Content-Length: 3"), "/"],
    [get("/", "Transfer-Encoding: gzip"), 501],
    [get("/", "Expect: tea"), 417],
  ];
  for (const [head, expected] of cases) assert.equal(pathOrStatus(head), expected, head);
});

Deno.test("connections are kept by HTTP/1.1, and by HTTP/1.0 on request", () => {
  const keeps = (line: string, connection: string) =>
    parseHead(`${line}\r\nHost: x\r\nConnection: ${connection}`).keepsAlive;
  assert.equal(keeps("GET / HTTP/1.1", "x"), true);
  assert.equal(keeps("GET / HTTP/1.1", "x, Close"), false);
  assert.equal(keeps("GET / HTTP/1.0", "x"), false);
  assert.equal(keeps("GET / HTTP/1.0", "Keep-Alive"), true);
});

Deno.test("gzip is accepted unless it has weight 0", () => {
  const accepts = (value: string) => parseHead(get("/", `Accept-Encoding: ${value}`)).acceptsGzip;
  assert.deepEqual(["gzip", "br, GZIP;q=0.5", "gzip;q=1.0"].map(accepts), [true, true, true]);
  assert.deepEqual(["", "br", "gzip;q=0", "gzip; q=0.0", "xgzip"].map(accepts), [
    false,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("the length of a body is known, or its end ends the connection", () => {
  assert.equal(parseHead(get("/")).bodyBytes, 0);
  assert.equal(parseHead(get("/", "Content-Length: 7")).bodyBytes, 7);
  assert.equal(parseHead(get("/", "Content-Length: 7", "Transfer-Encoding: chunked")).bodyBytes, Infinity);
});
