import assert from "node:assert/strict";
import { everyKindOfPlan } from "../../backends/everything.ts";
import { settingsOf } from "../../backends/plans.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { kubeProxyIpvsListing, withoutSets } from "./support/kube_proxy_ipvs_listing.ts";
import { kubeProxyListing } from "./support/kube_proxy_listing.ts";
import { mustBeSame, restore, savedRules, withoutOrderOfJumps } from "./support/saved_rules.ts";

const commands = ["iptables", "ip6tables"] as const;
const loopbackPorts = [settingsOf("IPv4", { localhostNodePorts: true }), settingsOf("IPv6")];

Deno.test("a cleanup removes everything that we programmed, and a second one finds nothing", async () => {
  await using node = await NetworkNamespace.make();
  {
    await using programming = new BackendProcess("iptables", node);
    await programming.reconcile(everyKindOfPlan, loopbackPorts);
  }
  await using backend = new BackendProcess("iptables", node);
  for (let times = 0; times < 2; times++) {
    await backend.cleanup();
    assert.deepEqual(await withoutBuiltIn(node), []);
  }
});

Deno.test("a cleanup without anything to remove makes no table", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.cleanup();
  assert.equal(await node.run("nft", "list", "ruleset"), "");
});

const kubeProxyListings = {
  iptables: kubeProxyListing,
  ipvs: (command: typeof commands[number]) => withoutSets(kubeProxyIpvsListing(command)),
};

for (const [mode, listing] of Object.entries(kubeProxyListings)) {
  Deno.test(`a cleanup removes the rules of kube-proxy in mode ${mode}`, async () => {
    await using node = await NetworkNamespace.make();
    for (const command of commands) await restore(node, command, listing(command));
    assert.ok((await withoutBuiltIn(node)).length > 50);
    await using backend = new BackendProcess("iptables", node);
    await backend.cleanup();
    assert.deepEqual(await withoutBuiltIn(node), []);
  });

  Deno.test(`the rules of kube-proxy in mode ${mode} are taken over, and obsolete ones are removed`, async () => {
    await using node = await NetworkNamespace.make();
    await using fresh = await NetworkNamespace.make();
    for (const command of commands) await restore(node, command, listing(command));
    await using backend = new BackendProcess("iptables", node);
    await using other = new BackendProcess("iptables", fresh);
    assert.equal((await backend.reconcile(everyKindOfPlan)).found, "ours");
    await other.reconcile(everyKindOfPlan);
    mustBeSame(withoutOrderOfJumps(await savedRules(node)), withoutOrderOfJumps(await savedRules(fresh)));
    assert.deepEqual((await backend.reconcile(everyKindOfPlan)).differences, []);
  });
}

Deno.test("KUBE-FIREWALL is removed unless there is a sign of kubelet or a foreign rule", async () => {
  const ofKubelet = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n";
  const foreign = "*filter\n:KUBE-FIREWALL - [0:0]\n-A KUBE-FIREWALL -s 192.0.2.1/32 -j DROP\nCOMMIT\n";
  for (const [listing, stays] of [["", false], [ofKubelet, true], [foreign, true]] as const) {
    await using node = await NetworkNamespace.make();
    await using backend = new BackendProcess("iptables", node);
    await restore(node, "iptables", listing);
    await backend.reconcile(everyKindOfPlan, loopbackPorts);
    const firewall = async () => (await savedRules(node)).filter((line) => line.includes("KUBE-FIREWALL"));
    const before = await firewall();
    await backend.cleanup();
    const after = await firewall();
    if (stays) {
      assert.deepEqual(
        after,
        before.filter((line) => line.startsWith("iptables/") || line.startsWith(":iptables/")),
      );
    } else assert.deepEqual(after, []);
  }
});

Deno.test("a cleanup does not touch the legacy tables, and reports that kube-proxy's rules are there", async () => {
  await using node = await NetworkNamespace.make();
  const legacy = (...args: readonly string[]) => node.run("iptables-legacy", "-t", "nat", ...args);
  await legacy("-N", "KUBE-SERVICES");
  await legacy("-A", "PREROUTING", "-j", "KUBE-SERVICES");
  const before = await legacy("-S");
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile(everyKindOfPlan);
  const rejection = await rejectionBy(() => backend.cleanup());
  assert.match(rejection.message, /legacy/);
  assert.doesNotMatch(await node.run("nft", "list", "ruleset"), /KUBE/);
  assert.equal(await legacy("-S"), before);
});

/** All rules and chains except empty built-in chains. */
async function withoutBuiltIn(node: NetworkNamespace): Promise<readonly string[]> {
  return (await savedRules(node)).filter((line) => !/^:\S+ [A-Z]+ ACCEPT$/.test(line));
}
