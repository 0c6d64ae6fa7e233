import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { proxyBinary } from "../../lab/proxy.ts";
import { linesOf } from "../../lab/lines.ts";
import { assertComplaint, Node } from "./support/node.ts";
import { reachable, service } from "./support/objects.ts";

Deno.test("proxy status tells what the running proxy does, for people and for programs", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start("--metrics-bind-address=0.0.0.0:11249");
  await proxy.inForce();
  const address = "--metrics-bind-address=0.0.0.0:11249";
  const { code, stdout, stderr } = await node.run(["status", address]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^proxy {6}version .*, mode nftables, node here, IPv4/);
  assert.match(stdout, /^health {5}healthy$/m);
  assert.match(stdout, /^objects {4}1 Service, 1 service port in force, 1 endpoint$/m);
  assert.match(stdout, /^last sync {2}.*full \(start\)/m);
  const json = await node.run(["status", address, "-o", "json"]);
  assert.equal(JSON.parse(json.stdout).objects.services, 1);
  assert.match((await node.run(["status", address, "-o", "yaml"])).stdout, /^mode: nftables$/m);
  await node.write("odd.json", [service("odd", "10.96.0.11", { ports: [] })]);
  const errors = async () => /^errors .*$/m.exec((await node.run(["status", address])).stdout)?.[0] ?? "";
  await proxy.until(async () => (await errors()).includes("Service default/odd became invalid"), "error");
  assert.match(await errors(), /(ago|just now): spec\.ports/);
  await node.write("odd.json", []);
  await proxy.until(async () => /none$/.test(await errors()), "none");
});

Deno.test("proxy status says why there is no answer", async () => {
  await using node = await Node.make();
  const silent = await node.run(["status"]);
  assert.equal(silent.code, 2);
  assert.match(
    silent.stderr,
    /^proxy: no proxy answers on 127\.0\.0\.1:10249: .*ECONNREFUSED.*\. Check that it runs/,
  );
  const disabled = await node.run(["status", "--metrics-bind-address="]);
  assert.equal(disabled.code, 2);
  assert.match(disabled.stderr, /^proxy: --metrics-bind-address "": the proxy serves no status/);
  assertComplaint(
    { ...await node.run(["status", "--output=xml"]), code: 1 },
    /--output "xml": must be table, json or yaml/,
  );
});

Deno.test("proxy status --watch follows the proxy until a signal ends it", async () => {
  await using node = await Node.make();
  await using proxy = node.start();
  await proxy.inForce();
  const watch = node.spawn([proxyBinary, "status", "--watch"]);
  let updates = 0;
  for await (const line of linesOf(watch.stdout)) {
    if (!line.startsWith("objects")) continue;
    updates++;
    if (updates === 1) await node.write("web.json", reachable("web", "10.96.0.10"));
    else if (line.includes(" 1 Service,")) break;
    assert.ok(updates < 20);
  }
  watch.kill("SIGTERM");
  const [status] = await Promise.all([watch.status, watch.stderr.cancel()]);
  assert.equal(status.code, 0);
});

Deno.test("proxy status --watch prints YAML as a stream of documents", async () => {
  await using node = await Node.make();
  await using proxy = node.start();
  await proxy.inForce();
  const watch = node.spawn([proxyBinary, "status", "--watch", "-o", "yaml"]);
  const lines: string[] = [];
  for await (const line of linesOf(watch.stdout)) {
    lines.push(line);
    if (lines.filter((one) => one.startsWith("mode:")).length === 2) break;
  }
  watch.kill("SIGTERM");
  await Promise.all([watch.status, watch.stderr.cancel()]);
  const documents = parseAllDocuments(lines.join("\n")).map((document) => document.toJS());
  assert.deepEqual(documents.map(({ mode }) => mode), ["nftables", "nftables"]);
});
