import assert from "node:assert/strict";
import { text } from "../../../../core/observe/http/text.ts";
import { libc } from "../../../../ffi/libraries/libc.ts";
import { type Client, TestServer } from "./http_client.ts";

// Stays open for the life of the process.
libc();

/** Long enough that it does not pass in a test. */
const NEVER = 3_600_000;

Deno.test("the connection that has waited longest gives way to a new one, and it is said once", async () => {
  const warnings: string[] = [];
  await using server = await TestServer.start(
    { count: 3, headMs: NEVER, idleMs: NEVER },
    undefined,
    { warn: (message) => warnings.push(message) },
  );
  using stack = new DisposableStack();
  const connect = async () => stack.use(await server.connect());
  const silent = await connect();
  const slow = await connect();
  const busy = await connect();
  await slow.send("GET /healthz HTTP/1.1\r\n");
  assert.match(await busy.ask(), /^HTTP\/1\.1 200/);
  assert.match(await (await connect()).ask(), /^HTTP\/1\.1 200/);
  assert.equal(await silent.read(), "", "the oldest is closed");
  assert.match(await (await connect()).ask(), /^HTTP\/1\.1 200/);
  assert.equal(await slow.read(), "", "also one that has begun its request");
  assert.match(await busy.ask(), /^HTTP\/1\.1 200/);
  for (let i = 0; i < 50; i++) assert.match(await (await connect()).ask(), /^HTTP\/1\.1 200/);
  assert.equal(warnings.length, 1);
});

Deno.test("a request being answered does not give way to connections that only wait", async () => {
  const started = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await using server = await TestServer.start({ count: 2, headMs: NEVER, answerMs: NEVER }, {
    "/slow": async () => {
      started.resolve();
      await release.promise;
      return text("done");
    },
    "/healthz": () => text("ok"),
  });
  using stack = new DisposableStack();
  const slow = stack.use(await server.connect());
  const answer = slow.ask("/slow");
  await started.promise;
  for (let i = 0; i < 10; i++) {
    assert.match(await stack.use(await server.connect()).ask(), /^HTTP\/1\.1 200/);
  }
  release.resolve();
  assert.match(await answer, /done$/);
});

Deno.test("connections that send no head, drip it, idle or do not read are closed in time", async () => {
  const large = "x".repeat(20_000_000);
  const limits = { headMs: 300, idleMs: 300, answerMs: 300, closingMs: 300 };
  await using server = await TestServer.start(limits, {
    "/healthz": () => text("ok"),
    "/large": () => new Response(large),
  });
  const cases: Record<string, (client: Client) => Promise<unknown>> = {
    "sends nothing": () => Promise.resolve(),
    "sends half a head": (client) => client.send("GET /healthz HTT"),
    "drips a head": async (client) => {
      await client.send("GET /healthz HTTP/1.1\r\n");
      const dripping = async () => {
        for (;;) {
          await client.send("A: b\r\n");
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      // Sending fails when the server has closed the connection.
      await dripping().catch(() => {});
    },
    "idles after a request": (client) => client.ask(),
    "holds a body back": async (client) => {
      await client.send("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
      await client.read();
    },
  };
  await Promise.all(
    Object.entries(cases).map(async ([what, act]) => {
      using client = await server.connect();
      await act(client);
      assert.equal(await client.rest(), "", what);
    }),
  );
  // A server that closes before it has read everything resets the connection, so that sending fails.
  using slowReader = await server.connect();
  const sending = async () => {
    for (;;) {
      await slowReader.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await assert.rejects(sending);
});

Deno.test("the end of the server ends its connections", async () => {
  const server = await TestServer.start({ headMs: NEVER, idleMs: NEVER });
  using silent = await server.connect();
  using idle = await server.connect();
  await idle.ask();
  await server[Symbol.asyncDispose]();
  assert.deepEqual([await silent.read(), await idle.read()], ["", ""]);
});
