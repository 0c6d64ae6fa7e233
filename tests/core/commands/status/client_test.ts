import assert from "node:assert/strict";
import { ProxyClient } from "../../../../core/commands/status/client.ts";
import { UserError } from "../../../../core/user_error.ts";
import { TestServer } from "../../observe/http/http_client.ts";
import { json, text } from "../../../../core/observe/http/text.ts";

const routes = {
  "/api/v1/status": () => json({ node: "here" }),
  "/api/v1/page": () => text("<html>"),
};

Deno.test("the proxy is asked on the loopback address if it listens on all of them", async () => {
  await using server = await TestServer.start({}, routes);
  const client = new ProxyClient({ hostname: "0.0.0.0", port: server.port });
  assert.deepEqual(await client.ask("status"), { node: "here" });
});

Deno.test("each reason for no answer is one message with what to do", async () => {
  assert.throws(() => new ProxyClient(undefined), (error) => {
    return error instanceof UserError &&
      /^--metrics-bind-address "": .* such as 127\.0\.0\.1:10249/.test(error.message);
  });
  await using server = await TestServer.start({}, routes);
  const client = new ProxyClient({ hostname: "127.0.0.1", port: server.port });
  await assert.rejects(client.ask("events"), /answers with status 404\. Check that it runs/);
  await assert.rejects(client.ask("page"), /: its answer is not JSON\. Check/);
  const { port } = server;
  await server[Symbol.asyncDispose]();
  await assert.rejects(
    new ProxyClient({ hostname: "::", port }).ask("status"),
    (error) =>
      error instanceof UserError && error.message.startsWith(`no proxy answers on [::]:${port}: `) &&
      error.message.includes("--metrics-bind-address or --config"),
  );
});
