import assert from "node:assert/strict";
import { proxyBinary } from "../../lab/proxy.ts";
import { Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { RunningProxy } from "../cli/support/running_proxy.ts";

const MODE = "--proxy-mode=iptables";

Deno.test("kube-proxy's rules in the legacy tables cause a warning in the log and in check, and no failure", async () => {
  await using node = await Node.make();
  await node.namespace.run("iptables-legacy", "--table", "nat", "--new", "KUBE-SERVICES");
  const warning =
    /kube-proxy's rules are in the legacy iptables tables \(x_tables\): nat \(IPv4\) has 1 chain\./;
  const { code, stdout } = await node.run(["check", MODE]);
  assert.equal(code, 0);
  assert.match(stdout, /^WARNING +iptables +no legacy iptables rules +kube-proxy's rules are in/m);
  await using proxy = node.start(MODE);
  await proxy.inForce();
  assert.equal(proxy.log.match(new RegExp(warning, "g"))?.length, 1);
  assert.match(proxy.log, /^W.*kube-proxy --cleanup with the legacy iptables on its PATH/m);
});

Deno.test("--cleanup removes all other rules and reports that kube-proxy's rules in the legacy tables remain", async () => {
  await using node = await Node.make();
  await node.namespace.run("iptables-legacy", "--table", "nat", "--new", "KUBE-SERVICES");
  await node.namespace.run("iptables", "--table", "nat", "--new", "KUBE-SERVICES");
  const { code, stderr } = await node.run(["--cleanup"]);
  assert.equal(code, 1);
  assert.match(stderr, /kube-proxy's rules are in the legacy iptables tables \(x_tables\): nat \(IPv4\)/);
  assert.doesNotMatch(await node.namespace.run("iptables-save"), /KUBE/);
});

Deno.test("the metrics are those of mode iptables", async () => {
  await using node = await Node.make();
  await using proxy = node.start(MODE);
  await proxy.inForce();
  const metrics = await node.metrics();
  for (
    const sample of [
      "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 0",
      "kubeproxy_iptables_localhost_nodeports_accepted_packets_total 0",
      'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 0',
      'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv6"} 0',
    ]
  ) {
    assert.ok(metrics.includes(`\n${sample}\n`), sample);
  }
  assert.doesNotMatch(metrics, /nftables/);
});

Deno.test("the metrics count all rules and those that the last sync wrote", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start(MODE);
  await proxy.inForce();
  const counts = async (which: "total" | "last") =>
    await Promise.all((["filter", "nat"] as const).map(async (table) => {
      const metrics = await node.metrics();
      const name = `kubeproxy_sync_proxy_rules_iptables_${which}{table="${table}",ip_family="IPv4"} `;
      return Number(metrics.split(name)[1]?.split("\n")[0]);
    }));
  const listed = async () =>
    await Promise.all(["filter", "nat"].map(async (table) => {
      const listing = await node.namespace.run("iptables-save", "--table", table);
      return listing.split("\n").filter((line) => line.startsWith("-A ")).length;
    }));
  const before = await listed();
  assert.deepEqual(await counts("total"), before);
  assert.deepEqual(await counts("last"), before);

  await node.write("web2.json", reachable("web2", "10.96.0.11"));
  await proxy.until(async () => (await listed())[1] !== before[1], "rules of the second service");
  const after = await listed();
  await proxy.until(async () => (await counts("total")).join() === after.join(), "count of all rules");
  assert.deepEqual(await counts("last"), [0, (after[1] ?? 0) - (before[1] ?? 0)]);
});

Deno.test("route_localnet is set only if there are node ports on loopback addresses", async () => {
  await using node = await Node.make();
  const routeLocalnet = async () =>
    (await node.namespace.run("sysctl", "-n", "net.ipv4.conf.all.route_localnet")).trim();
  for (const flags of [["--iptables-localhost-nodeports=false"], ["--nodeport-addresses=192.0.2.0/24"]]) {
    await using proxy = node.start(MODE, ...flags);
    await proxy.inForce();
    assert.equal(await routeLocalnet(), "0", flags.join());
  }
  await using proxy = node.start(MODE);
  await proxy.inForce();
  assert.equal(await routeLocalnet(), "1");
});

Deno.test("with a read-only /proc/sys only node ports on loopback addresses fail, and the log says so", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const script = 'mount -o bind,ro /proc/sys /proc/sys && exec "$0" "$@"';
  const command = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    script,
    proxyBinary,
    ...node.source,
    ...node.identity,
    MODE,
  ];
  await using proxy = new RunningProxy(node, node.spawn(command));
  await proxy.inForce();
  assert.match(proxy.log, /^W.*Read-only file system.*node ports do not answer on loopback addresses/m);
  assert.match(await node.namespace.run("iptables-save", "--table", "nat"), /-d 10\.96\.0\.10\/32 /);
});
