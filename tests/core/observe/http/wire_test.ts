import assert from "node:assert/strict";
import { text } from "../../../../core/observe/http/text.ts";
import { TestServer } from "./http_client.ts";

const HOST = "Host: x\r\n";
const LAST = `${HOST}Connection: close\r\n`;

Deno.test("a response has Go's headers, and HTTP/1.0 gets HTTP/1.0", async () => {
  await using server = await TestServer.start();
  const answer = await server.exchange("GET /healthz?x HTTP/1.0\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.0 200 OK\r\n/);
  for (
    const header of [
      /^Content-Length: 2\r$/m,
      /^Content-Type: text\/plain; charset=utf-8\r$/m,
      /^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r$/m,
      /^Connection: close\r$/m,
    ]
  ) assert.match(answer, header);
  assert.match(answer, /\r\n\r\nok$/);
});

Deno.test("an empty Host is served, and a malformed one of any length is 400 without a log line", async () => {
  const logged: string[] = [];
  const note = (message: string) => logged.push(message);
  await using server = await TestServer.start({}, undefined, { error: note, warn: note });
  const statusOf = async (host: string) =>
    (await server.exchange(`GET /healthz HTTP/1.1\r\nHost:${host}\r\nConnection: close\r\n\r\n`)).slice(
      9,
      12,
    );
  assert.equal(await statusOf(""), "200");
  assert.equal(await statusOf("a b"), "400");
  assert.equal(await statusOf("a b".repeat(100_000)), "400");
  assert.equal(await statusOf("a".repeat(300_000)), "431");
  assert.deepEqual(logged, []);
});

Deno.test("an unclean path is redirected to the clean one on this host", async () => {
  await using server = await TestServer.start();
  for (
    const [target, location] of [
      ["//healthz?x=y", "/healthz?x=y"],
      ["/a/..//./healthz/", "/healthz/"],
      ["http://x//healthz", "/healthz"],
      ["//\\evil.example", "/%5Cevil.example"],
      ["/..//evil.example/\xe9", "/evil.example/%E9"],
    ] as const
  ) {
    const answer = await server.exchange(`GET ${target} HTTP/1.1\r\n${LAST}\r\n`);
    assert.match(answer, /^HTTP\/1\.1 307 Temporary Redirect\r\n/);
    assert.ok(answer.includes(`\r\nLocation: ${location}\r\n`), answer);
  }
  assert.match(
    await server.exchange(`GET /healthz/ HTTP/1.1\r\n${LAST}\r\n`),
    /^HTTP\/1\.1 404 Not Found\r\n/,
  );
  assert.match(await server.exchange(`GET * HTTP/1.1\r\n${HOST}\r\n`), /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(await server.exchange(`OPTIONS * HTTP/1.1\r\n${LAST}\r\n`), /^HTTP\/1\.1 200 OK\r\n/);
});

Deno.test("requests over one connection are answered in their order, and bodies of requests are skipped", async () => {
  await using server = await TestServer.start();
  const answers = await server.exchange(
    `POST /healthz HTTP/1.1\r\n${HOST}Content-Length: 5000\r\n\r\n${"x".repeat(5000)}` +
      `HEAD /healthz HTTP/1.1\r\n${HOST}\r\n` +
      `GET /nowhere HTTP/1.1\nHost: x\n\n` +
      `GET /healthz HTTP/1.1\r\n${LAST}\r\n` +
      `GET /healthz HTTP/1.1\r\n${LAST}\r\n`,
  );
  const bodies = answers.split(/HTTP\/1\.1 (\d{3}) [^]*?\r\n\r\n/).slice(1);
  assert.deepEqual(bodies, ["200", "ok", "200", "", "404", "404 page not found\n", "200", "ok"]);
});

Deno.test("a request that arrives byte by byte is answered", async () => {
  await using server = await TestServer.start();
  using client = await server.connect();
  await client.socket.setNoDelay(true);
  for (const character of `GET /healthz HTTP/1.1\r\n${LAST}\r\n`) await client.send(character);
  assert.match(await client.rest(), /^HTTP\/1\.1 200 OK\r\n/);
});

Deno.test("a body that is too large, has no length or waits for a go-ahead ends the connection after the answer", async () => {
  await using server = await TestServer.start();
  for (const header of ["Content-Length: 300000", "Transfer-Encoding: chunked"]) {
    const answer = await server.exchange(
      `POST /healthz HTTP/1.1\r\n${HOST}${header}\r\n\r\n${"x".repeat(300_000)}`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n/, header);
  }
  const expecting = `POST /healthz HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
  assert.match(await server.exchange(expecting), /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n/);
});

Deno.test("a malformed request gets an answer and the end of its connection, also after a valid one", async () => {
  await using server = await TestServer.start();
  const answers = await server.exchange(`GET /healthz HTTP/1.1\r\n${HOST}\r\nnonsense\r\n\r\n`);
  assert.match(answers, /okHTTP\/1\.1 400 Bad Request\r\n[^]*400 Bad Request$/);
  assert.match(await server.exchange("\x16\x03\x01\x00\xa5\r\n\r\n"), /^HTTP\/1\.1 400 /);
});

Deno.test("large texts are compressed for clients that accept it", async () => {
  const large = "proxy_metric 1\n".repeat(10_000);
  await using server = await TestServer.start({}, { "/metrics": () => text(large) });
  const url = `http://127.0.0.1:${server.port}/metrics`;
  const compressed = await fetch(url);
  assert.equal(compressed.headers.get("vary"), "accept-encoding");
  assert.equal(await compressed.text(), large);
  const plain = await fetch(url, { headers: { "accept-encoding": "identity" } });
  assert.equal(plain.headers.get("content-length"), String(large.length));
  assert.equal(await plain.text(), large);
});
