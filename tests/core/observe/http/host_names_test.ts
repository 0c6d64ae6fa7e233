import assert from "node:assert/strict";
import { refusingForeignNames } from "../../../../core/observe/http/host_names.ts";
import { parseHead } from "../../../../core/observe/http/request.ts";
import { text } from "../../../../core/observe/http/text.ts";

const OURS = ["127.0.0.1:10249", "[::1]:10249", "localhost:8001", "node-1", "HERE.example", "a.localhost"];
const FOREIGN = ["evil.example", "evil.example:10249", "127.0.0.1.evil.example", "here.example.evil"];

async function ask(path: string, host: string): Promise<Response> {
  const routes = refusingForeignNames({ [path]: () => text("secret") }, "here.example");
  const response = await routes[path]?.(parseHead(`GET ${path} HTTP/1.1\r\nHost: ${host}`));
  assert.ok(response);
  return response;
}

Deno.test("routes answer only to names that cannot be somebody else's", async () => {
  for (const path of ["/api/v1/status", "/debug/pprof/heap", "/a-new-route"]) {
    for (const host of OURS) assert.equal((await ask(path, host)).status, 200, `${host} ${path}`);
    for (const host of FOREIGN) {
      const response = await ask(path, host);
      assert.equal(response.status, 403, `${host} ${path}`);
      assert.match((await response.json()).error, /: use an IP address, localhost, or the name of the node$/);
    }
  }
});

Deno.test("scrapers and probes may use any name", async () => {
  for (const path of ["/metrics", "/metrics/slis", "/healthz", "/healthz/ping", "/proxyMode"]) {
    for (const host of [...OURS, ...FOREIGN]) {
      assert.equal((await ask(path, host)).status, 200, `${host} ${path}`);
    }
  }
});
