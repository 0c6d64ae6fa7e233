import assert from "node:assert/strict";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";

Deno.test("while the API server is unreachable, the rules stay, health reports it, and the proxy retries until it is back", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const before = node.start();
  await before.inForce();
  await before.end();
  const rules = await node.ruleset();
  assert.match(rules, /10\.96\.0\.10/);

  const kubeconfig = `${node.directory}/kubeconfig`;
  await Deno.writeTextFile(
    kubeconfig,
    "{ current-context: c, contexts: [{ name: c, context: { cluster: k } }], " +
      "clusters: [{ name: k, cluster: { server: http://127.0.0.1:6443 } }] }",
  );
  await using proxy = node.start(`--kubeconfig=${kubeconfig}`);
  await proxy.logs(/API server 127\.0\.0\.1:6443: services: .*refused.*retrying/);
  await proxy.logs(/The source of objects is unreachable; the last known state stays in force/);
  const { status, body } = await proxy.health();
  assert.equal(status, 503, "a node that knows nothing of itself is not offered to load balancers");
  assert.equal(body.source.connected, false);
  assert.ok(Date.parse(body.source.lostAt ?? "") <= Date.now());
  assert.equal((await proxy.health("/livez")).status, 200, "to restart it would help nobody");

  const listener = node.spawn(["python3", "-c", acceptOne]);
  assert.equal((await listener.output()).code, 0, "no request came to the address of the API server");
  assert.equal(await node.ruleset(), rules);
  const told = proxy.log.match(/services: .*refused/g)?.length ?? 0;
  assert.ok(told <= 3, `the same problem is told ${told} times`);
  assert.ok(proxy.isRunning);
  assert.deepEqual((await proxy.end()).code, 0);
});

/** Waits for one request, and exits with 0 when it is for a collection that a proxy watches. */
const acceptOne = `
import socket, sys
server = socket.create_server(("127.0.0.1", 6443))
server.settimeout(15)
request = server.accept()[0].recv(1000)
sys.exit(0 if request.startswith(b"GET /api") else 1)
`;
