import assert from "node:assert/strict";
import { debugFlagsRoutes } from "../../../../core/observe/http/debug_flags_routes.ts";
import { TestServer } from "./http_client.ts";

const HEAD = "HTTP/1.1\r\nHost: x\r\n";

/** Sends requests over one connection, the last of which ends it, to a server whose verbosity they change. */
async function exchange(...requests: readonly string[]): Promise<{ answers: string; set: number[] }> {
  const set: number[] = [];
  await using server = await TestServer.start({}, debugFlagsRoutes((verbosity) => set.push(verbosity)));
  const last = `GET /debug/flags ${HEAD}Connection: close\r\n\r\n`;
  return { answers: await server.exchange([...requests, last].join("")), set };
}

function put(body: string, headers = `Content-Length: ${body.length}\r\n`): string {
  return `PUT /debug/flags/v ${HEAD}${headers}\r\n${body}`;
}

Deno.test("PUT /debug/flags/v changes the verbosity, with kube-proxy's answer", async () => {
  const { answers, set } = await exchange(put("4"), put("0"));
  assert.deepEqual(set, [4, 0]);
  assert.match(answers, /200 OK[^]*\r\n\r\nsuccessfully set klog\.logging\.verbosity to 4\n/);
  assert.match(answers, /curl -X PUT -d 4/, "the next requests of the connection are answered");
});

Deno.test("what is no verbosity changes nothing, and the answer says what is one", async () => {
  for (const body of ["", "-1", "1.5", "x", "4\n", "2147483648", "9".repeat(1000)]) {
    const { answers, set } = await exchange(put(body));
    assert.match(
      answers,
      /400 Bad Request[^]*v: must be a whole number from 0 to 2147483647, as the body/,
      body,
    );
    assert.deepEqual(set, []);
  }
});

Deno.test("a body that is too large, or whose length is not known, is not read", async () => {
  const large = await exchange(put("4".repeat(2000)));
  assert.deepEqual(large.set, []);
  assert.match(large.answers, /curl -X PUT -d 4/);
  const { answers, set } = await exchange(put("1\r\n4\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n"));
  assert.deepEqual(set, []);
  assert.match(answers, /400 Bad Request/);
});

Deno.test("other methods are refused as kube-proxy does", async () => {
  const { answers, set } = await exchange(`GET /debug/flags/v ${HEAD}\r\n`);
  assert.match(answers, /406 Not Acceptable[^]*unsupported http method\n/);
  assert.deepEqual(set, []);
});
