import assert from "node:assert/strict";
import { differingSettings } from "../../../../core/commands/explain/settings.ts";
import { configOf } from "../../config/loaded.ts";

/** Compares two command lines, as an explanation with the first one does while a proxy runs with the second one. */
async function compare(own: readonly string[], running: readonly string[]): Promise<readonly string[]> {
  const [config, { document }] = await Promise.all(
    [own, running].map((flags) => configOf("--proxy-mode=nftables", "--hostname-override=here", ...flags)),
  ) as [Awaited<ReturnType<typeof configOf>>, Awaited<ReturnType<typeof configOf>>];
  return differingSettings(config, JSON.parse(JSON.stringify(document)));
}

Deno.test("settings that decide about rules are compared", async () => {
  assert.deepEqual(await compare([], ["--cluster-cidr=10.244.0.0/16"]), [
    'clusterCIDR is "10.244.0.0/16" there and "" here',
  ]);
  assert.deepEqual(await compare(["--nodeport-addresses=10.0.0.0/8"], ["--masquerade-all"]), [
    "nftables.masqueradeAll is true there and false here",
    'nodePortAddresses is ["primary"] there and ["10.0.0.0/8"] here',
  ]);
  assert.deepEqual(await compare(["--feature-gates=MultiCIDRServiceAllocator=false"], []), [
    "featureGates.MultiCIDRServiceAllocator is missing there and false here",
  ]);
});

Deno.test("settings without effect on the rules of the mode are not compared", async () => {
  const others = [
    "-v=4",
    "--metrics-bind-address=127.0.0.1:1",
    "--healthz-bind-address=",
    "--profiling",
    "--conntrack-max-per-core=1",
    "--iptables-sync-period=7s",
    "--ipvs-scheduler=sh",
    "--oom-score-adj=-5",
    "--kubeconfig=/elsewhere",
  ];
  assert.deepEqual(await compare([], others), []);
  assert.deepEqual(await compare(others, []), []);
});

Deno.test("an answer that is no document differs", async () => {
  const config = await configOf("--proxy-mode=nftables", "--hostname-override=here");
  assert.deepEqual(differingSettings(config, undefined), ["the configuration is unknown there"]);
});
