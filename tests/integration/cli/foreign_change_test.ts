import assert from "node:assert/strict";
import { type Agent, isAnswered, type Outcome } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { machines, serviceAddress } from "../../lab/topology.ts";
import { service, slice } from "./support/objects.ts";

/** Time from the foreign change until a client is served again. */
const REPAIRED_WITHIN_MS = 1000;

const web = serviceAddress("clusterIP", "IPv4", 11);

Deno.test("foreign changes of the rules are repaired within a second", async (t) => {
  await using lab = await Lab.create();
  const manifests = `${lab.directory}/manifests`;
  await Deno.mkdir(manifests);
  const objects = [service("web", web), slice("web", [machines["pod-a"].addresses.IPv4])];
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
  await Deno.writeTextFile(`${manifests}/web.json`, text);
  await using proxy = new ProxyProcess(lab, manifests);
  const client = lab.agent("outside");
  await untilAnswered(client, 30_000);

  const nft = async (command: string) => {
    const { code, stderr } = await lab.run("node", ["nft", command]);
    assert.equal(code, 0, stderr);
  };
  const rules = async (chain: string) =>
    (await lab.run("node", ["nft", "list", "chain", "ip", "kube-proxy", chain])).stdout;
  const before = await rules("services");

  // Pauses before each change, because repairs are at least half a second apart, so that two programs in conflict do
  // not load the node.
  for (const change of ["flush ruleset", "delete table ip kube-proxy", "flush table ip kube-proxy"]) {
    await t.step(`nft ${change}`, async () => {
      await new Promise((resolve) => setTimeout(resolve, 600));
      await nft(change);
      const ms = await untilAnswered(client, REPAIRED_WITHIN_MS);
      console.log(`    served again after ${ms.toFixed(0)} ms`);
    });
  }
  await t.step("a second flush right after the repair of the first", async () => {
    await nft("flush ruleset");
    await untilAnswered(client, REPAIRED_WITHIN_MS);
    await nft("flush ruleset");
    await untilAnswered(client, REPAIRED_WITHIN_MS);
  });
  await t.step("a rule added to one of our chains", async () => {
    await nft("insert rule ip kube-proxy services drop");
    assert.match(await rules("services"), /^\s+drop$/m);
    await untilAnswered(client, REPAIRED_WITHIN_MS);
    assert.equal(await rules("services"), before);
  });
  assert.match(
    proxy.log,
    /Reconciled the kernel with the plans" reason="table ip kube-proxy .* by nft \(pid \d+\)/,
  );
  proxy.assertRunning();
});

/** @returns the time until a new connection was answered, in milliseconds */
async function untilAnswered(client: Agent, withinMs: number): Promise<number> {
  const began = performance.now();
  for (;;) {
    const [outcome]: readonly Outcome[] = await client.probe({ protocol: "TCP", to: web, port: 80 }, {
      timeoutMs: 50,
    });
    const ms = performance.now() - began;
    if (outcome !== undefined && isAnswered(outcome)) return ms;
    assert.ok(ms < withinMs, `nobody is served ${ms.toFixed(0)} ms after the change`);
  }
}
