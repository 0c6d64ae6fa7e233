import assert from "node:assert/strict";
import { documentedMetrics, scrapedMetrics } from "../../core/observe/metrics/metrics_page.ts";
import { Node } from "./support/node.ts";
import { reachable, service, slice } from "./support/objects.ts";

const documented = documentedMetrics();
/** Names that kube-proxy chose and promtool complains of. */
const COMPLAINTS =
  /^kubeproxy_sync_proxy_rules_(no_local_endpoints|iptables)_total non-counter metrics should not have/;

for (const mode of ["nftables", "iptables"]) {
  Deno.test(`mode ${mode}: a scrape has the metrics of docs/metrics.md, with their types and labels`, async () => {
    await using node = await Node.make();
    await node.write("web.json", reachable("web", "10.96.0.10"));
    await using proxy = node.start(`--proxy-mode=${mode}`);
    await proxy.inForce();
    const scraped = scrapedMetrics(await node.metrics());
    const slis = scrapedMetrics(await node.namespace.run("curl", "--silent", "127.0.0.1:10249/metrics/slis"));
    for (const [name, { type, labels }] of [...scraped, ...slis]) {
      const row = documented.find((row) => row.name === name);
      assert.ok(row !== undefined, `${name} is not in docs/metrics.md`);
      assert.equal(type, row.type, name);
      if (labels !== undefined) assert.deepEqual(labels.toSorted(), row.labels.toSorted(), name);
      assert.ok(row.modes.length === 0 || row.modes.includes(mode), `${name} is not of mode ${mode}`);
    }
    for (const { name, modes } of documented) {
      const isExpected = modes.length === 0 && !name.startsWith("kubernetes_healthcheck");
      if (isExpected) assert.ok(scraped.has(name), `${name} is not exposed`);
    }
    assert.equal(slis.size, 3);
  });

  Deno.test(`mode ${mode}: promtool complains of nothing but names of kube-proxy`, async () => {
    await using node = await Node.make();
    await node.write("web.json", reachable("web", "10.96.0.10"));
    await using proxy = node.start(`--proxy-mode=${mode}`);
    await proxy.inForce();
    await Deno.writeTextFile(`${node.directory}/scrape`, await node.metrics());
    const check = `promtool check metrics < ${node.directory}/scrape 2>&1 || true`;
    const complaints = (await node.namespace.run("sh", "-c", check)).trim().split("\n");
    assert.deepEqual(complaints.filter((line) => !COMPLAINTS.test(line)), []);
    assert.notEqual(complaints.length, 0);
  });
}

Deno.test("a change that leads to the same rules does not look like one that waits", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  const time = (name: string, text: string) =>
    Number(
      new RegExp(`^kubeproxy_sync_proxy_rules_${name}_timestamp_seconds\\{.*\\} (.*)$`, "m").exec(text)?.[1],
    );
  const notReady = { addresses: ["10.244.1.12"], conditions: { ready: false } };
  const endpoints = [{ addresses: ["10.244.1.11"] }, notReady];
  await node.write("web.json", [service("web", "10.96.0.10"), slice("web", [], { endpoints })]);
  await proxy.until(async () => {
    const text = await node.metrics();
    return time("last", text) >= time("last_queued", text);
  }, "sync after the change");
});
