import assert from "node:assert/strict";
import { affinitySetName } from "../../../backends/nftables/names.ts";
import { everyKindOfPlan, everyKindOfSettings } from "../../backends/everything.ts";
import { planOf, settingsOf } from "../../backends/plans.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { listingOf, load, tablesIn } from "./support/listing.ts";

const sticky = planOf({
  name: "sticky",
  clusterIP: "10.96.0.14:80",
  affinitySeconds: 3600,
  endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
});
const clientsOf = (endpoint: number) => {
  const at = sticky.clusterEndpoints[endpoint];
  assert.ok(at);
  return affinitySetName(sticky, at);
};

Deno.test("a saved listing can be loaded with stock nft, and is listed unchanged", async () => {
  for (const settings of everyKindOfSettings) {
    await using ours = await NetworkNamespace.make();
    await using restored = await NetworkNamespace.make();
    await using backend = new BackendProcess("nftables", ours);
    await backend.reconcile(everyKindOfPlan, settings);
    for (const family of ["ip", "ip6"] as const) {
      await load(restored, await listingOf(ours, family));
    }
    assert.deepEqual(await tablesIn(restored), await tablesIn(ours));
  }
});

Deno.test("a restart refills the table in place and keeps the clients of session affinity", async () => {
  await using node = await NetworkNamespace.make();
  {
    await using before = new BackendProcess("nftables", node);
    assert.equal((await before.reconcile([sticky])).found, "nothing");
  }
  await node.run("nft", "add", "element", "ip", "kube-proxy", clientsOf(1), "{ 192.0.2.7 }");
  await using after = new BackendProcess("nftables", node);
  const report = await after.reconcile([sticky]);
  assert.deepEqual(report, { found: "ours", differences: [], compared: "part" });
  assert.match(await listingOf(node, "ip"), /192\.0\.2\.7 expires/);
});

Deno.test("a kept endpoint keeps its clients, a removed one loses them, and a changed timeout drops all", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([sticky]);
  for (const [index, client] of ["192.0.2.7", "192.0.2.8"].entries()) {
    await node.run("nft", "add", "element", "ip", "kube-proxy", clientsOf(index), `{ ${client} }`);
  }
  const fewer = { ...sticky, clusterEndpoints: sticky.clusterEndpoints.slice(1) };
  await backend.apply([{ key: sticky.key, old: sticky, new: fewer }]);
  const listing = await listingOf(node, "ip");
  assert.doesNotMatch(listing, /192\.0\.2\.7/);
  assert.match(listing, /192\.0\.2\.8/);

  const shorter = { ...fewer, affinitySeconds: 60 };
  await backend.apply([{ key: sticky.key, old: fewer, new: shorter }]);
  assert.match(await listingOf(node, "ip"), /timeout 1m\n/);
  assert.doesNotMatch(await listingOf(node, "ip"), /192\.0\.2\.8/);
});

Deno.test("a reconcile removes foreign objects from our table, and keeps other tables", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile(everyKindOfPlan);
  const before = await tablesIn(node);
  await load(
    node,
    `table ip kube-proxy {
      set intruders { type ipv4_addr; }
      map ways { type ipv4_addr : verdict; }
      chain intruder { ip saddr @intruders drop; }
      chain intruder-hook { type filter hook input priority 5; ip saddr vmap @ways; jump intruder; }
      chain services { drop; }
    }
    add element ip kube-proxy ways { 192.0.2.1 : goto intruder }
    add element ip kube-proxy cluster-ips { 10.96.9.9 }
    table inet firewall { chain input { accept; }; }`,
  );
  assert.deepEqual(await backend.reconcile(everyKindOfPlan), {
    found: "ours",
    compared: "part",
    differences: [
      "set intruders of table ip kube-proxy was foreign",
      "set ways of table ip kube-proxy was foreign",
      "chain intruder of table ip kube-proxy was foreign",
      "chain intruder-hook of table ip kube-proxy was foreign",
    ],
  });
  assert.deepEqual(await tablesIn(node), before);
  assert.match(await node.run("nft", "list", "tables"), /table inet firewall/);
});

Deno.test("a reconcile takes over a table of our name with any contents", async () => {
  for (
    const wrong of [
      "map endpoints { type ipv4_addr : ipv4_addr; }",
      "set cluster-ips { type inet_service; }",
      "chain nat-output { type nat hook output priority 0; }",
      "counter seen { }",
      'comment "rules for kube-proxy"\nchain cluster-3 { type filter hook input priority 0; }',
    ]
  ) {
    await using node = await NetworkNamespace.make();
    await using fresh = await NetworkNamespace.make();
    await load(node, `table ip kube-proxy { ${wrong}\n}`);
    await using backend = new BackendProcess("nftables", node);
    await using other = new BackendProcess("nftables", fresh);
    await backend.reconcile(everyKindOfPlan);
    await other.reconcile(everyKindOfPlan);
    assert.deepEqual(await tablesIn(node), await tablesIn(fresh), wrong);
  }
});

Deno.test("kube-proxy's table is taken over, with the clients of its session affinity", async () => {
  await using node = await NetworkNamespace.make();
  await using fresh = await NetworkNamespace.make();
  await load(node, kubeProxyTable(clientsOf(0)));
  await using backend = new BackendProcess("nftables", node);
  await using other = new BackendProcess("nftables", fresh);
  assert.equal((await backend.reconcile([sticky])).found, "foreign");
  await other.reconcile([sticky]);

  assert.match(await listingOf(node, "ip"), /192\.0\.2\.7 expires/);
  await node.run("nft", "flush", "set", "ip", "kube-proxy", clientsOf(0));
  assert.deepEqual(await tablesIn(node), await tablesIn(fresh));
});

Deno.test("the table of an unused family is deleted, and cleanup deletes all tables", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile(everyKindOfPlan);
  await backend.reconcile(everyKindOfPlan, [settingsOf("IPv6")]);
  assert.equal(await listingOf(node, "ip"), "");
  assert.notEqual(await listingOf(node, "ip6"), "");
  await backend.cleanup();
  await backend.cleanup();
  assert.equal(await node.run("nft", "list", "ruleset"), "");
});

/** kube-proxy's table, reduced to one service port with affinity, with its names, types and hooks. */
function kubeProxyTable(clients: string): string {
  const [, base] = clients.split(/^affinity-/);
  return `table ip kube-proxy {
    comment "rules for kube-proxy"
    set cluster-ips { type ipv4_addr; comment "Active ClusterIPs"; elements = { 10.96.0.14 }
    }
    set nodeport-ips { type ipv4_addr; comment "IPs that accept NodePort traffic"; }
    map service-ips { type ipv4_addr . inet_proto . inet_service : verdict
      elements = { 10.96.0.14 . tcp . 80 : goto service-XXXXXXXX-default/sticky/tcp/http }
    }
    map service-nodeports { type inet_proto . inet_service : verdict; }
    map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
    map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
    map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
    set ${clients} { type ipv4_addr; flags dynamic,timeout; timeout 1h; elements = { 192.0.2.7 }
    }
    chain endpoint-${base} {
      update @${clients} { ip saddr }
      meta l4proto tcp dnat to 10.1.0.1:80
    }
    chain service-XXXXXXXX-default/sticky/tcp/http {
      ip saddr @${clients} goto endpoint-${base}
      numgen random mod 1 vmap { 0 : goto endpoint-${base} }
    }
    chain services {
      ip daddr . meta l4proto . th dport vmap @service-ips
    }
    chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
    chain nat-output { type nat hook output priority -100; jump services; }
  }`;
}
