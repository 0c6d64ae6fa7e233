import assert from "node:assert/strict";
import { IptablesBackend } from "../../../backends/iptables/backend.ts";
import { removeKubeProxyIpsets } from "../../../backends/ipvs/kube_proxy_ipsets.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { desiredOf } from "../../backends/plans.ts";
import { everyKindOfPlan } from "../../backends/everything.ts";
import {
  kubeProxyIpvsListing,
  kubeProxySets,
} from "../../integration/iptables/support/kube_proxy_ipvs_listing.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Runs in a network namespace made by tests/integration/ipvs/leftovers_test.ts. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

/** Without SCTP, which takes a module that not every kernel has. */
const plans = everyKindOfPlan.filter(({ protocol }) => protocol !== "SCTP");

const othersSets = ["MINE", "KUBE-OF-MINE"];

Deno.test({
  name: "without the ipset module there are no sets, and the check does not load it",
  ...keepsLibraries,
  ignore: isIpSetLoaded(),
  async fn() {
    assert.deepEqual(await removeSets(), []);
    assert.ok(!isIpSetLoaded());
  },
});

Deno.test("kube-proxy's sets are removed, and foreign sets stay", keepsLibraries, async () => {
  await programmedByOthers();
  assert.equal((await sets()).length, 34 + othersSets.length);
  assert.deepEqual(await removeSets(), []);
  assert.deepEqual(await sets(), othersSets);
  assert.deepEqual(await removeSets(), []);
});

for (
  const [what, go] of [
    ["a cleanup of mode iptables", (backend: IptablesBackend) => backend.cleanup()],
    [
      "a take-over by mode iptables",
      (backend: IptablesBackend) => backend.reconcile(desiredOf(plans)),
    ],
  ] as const
) {
  Deno.test(`after ${what}, no rule of kube-proxy uses a set`, keepsLibraries, async () => {
    await programmedByKubeProxy();
    assert.equal((await removeSets(0)).length, 34 - unusedSets);
    using backend = new IptablesBackend();
    await go(backend);
    const began = performance.now();
    assert.deepEqual(await removeSets(), []);
    console.log(`    sets are gone ${(performance.now() - began).toFixed(0)} ms after the rules`);
    assert.deepEqual(await sets(), othersSets);
    for (const save of ["iptables-nft-save", "ip6tables-nft-save"]) {
      assert.doesNotMatch(await run(save), /match-set|KUBE-NODE-PORT |KUBE-LOAD-BALANCER|KUBE-IPVS/);
    }
    await backend.cleanup();
  });
}

Deno.test("a set used by a foreign rule or set stays, and is reported", keepsLibraries, async () => {
  await programmedByOthers();
  const rule = ["OUTPUT", "-m", "set", "--match-set", "KUBE-6-IPVS-IPS", "dst", "-j", "ACCEPT"];
  await run("ip6tables-nft", "-A", ...rule);
  await run("ipset", "create", "MY-LIST", "list:set");
  await run("ipset", "add", "MY-LIST", "KUBE-CLUSTER-IP");
  assert.deepEqual((await removeSets(100)).toSorted(), ["KUBE-6-IPVS-IPS", "KUBE-CLUSTER-IP"]);
  await run("ip6tables-nft", "-D", ...rule);
  await run("ipset", "destroy", "MY-LIST");
  assert.deepEqual(await removeSets(), []);
  assert.deepEqual(await sets(), othersSets);
});

/** No rule existed for the source ranges that contain the node. */
const unusedSets = 2;

async function programmedByOthers(): Promise<void> {
  await emptied();
  await restore("ipset restore", kubeProxySets());
  for (const name of othersSets) await run("ipset", "create", name, "hash:ip");
}

async function programmedByKubeProxy(): Promise<void> {
  await programmedByOthers();
  for (const command of ["iptables", "ip6tables"] as const) {
    await restore(`${command}-nft-restore`, kubeProxyIpvsListing(command));
  }
}

async function emptied(): Promise<void> {
  await run("nft", "flush", "ruleset");
  for (const name of await sets()) await run("ipset", "destroy", name);
}

async function sets(): Promise<readonly string[]> {
  return (await run("ipset", "list", "-name")).split("\n").filter((name) => name !== "");
}

async function removeSets(patienceMs?: number): Promise<readonly string[]> {
  const open = () => NetlinkClient.open(NETLINK_NETFILTER);
  return await removeKubeProxyIpsets(open, patienceMs === undefined ? {} : { patienceMs });
}

async function restore(command: string, text: string): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, text);
    await run("sh", "-c", `${command} <${file}`);
  } finally {
    await Deno.remove(file);
  }
}

function isIpSetLoaded(): boolean {
  try {
    Deno.statSync("/sys/module/ip_set");
    return true;
  } catch {
    return false;
  }
}
