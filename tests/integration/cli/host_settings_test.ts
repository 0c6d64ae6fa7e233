import assert from "node:assert/strict";
import { PrivateMounts } from "../ebpf/support/private_mounts.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";

/** Makes /proc/sys read-only for a command, as in a container without privileges. */
const readOnlySysctls = [
  ...["unshare", "--mount", "sh", "-c"],
  'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"',
  "sh",
];

async function sysctl(node: Node, name: string): Promise<string> {
  return (await node.namespace.run("sysctl", "-n", name)).trim();
}

const timeout = (name: string) => `net.netfilter.nf_conntrack_${name}`;

Deno.test("conntrack timeouts are those of the configuration, in the proxy's network namespace only", async () => {
  const outside = Deno.readTextFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait");
  for (const mode of ["nftables", "iptables"]) {
    await using node = await Node.make();
    await using proxy = node.start(
      `--proxy-mode=${mode}`,
      "--conntrack-udp-timeout=17s",
      "--conntrack-tcp-be-liberal",
    );
    await proxy.logs(/Set a sysctl.*udp_timeout/);
    assert.equal(await sysctl(node, timeout("tcp_timeout_close_wait")), "3600");
    assert.equal(await sysctl(node, timeout("tcp_timeout_established")), "86400");
    assert.equal(await sysctl(node, timeout("udp_timeout")), "17");
    assert.equal(await sysctl(node, timeout("tcp_be_liberal")), "1");
    assert.doesNotMatch(proxy.log, /^W.*(conntrack|oomScoreAdj)/m);
  }
  const after = Deno.readTextFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait");
  assert.equal(after, outside);
});

Deno.test("conntrack timeouts apply in mode ebpf, too", async () => {
  await using node = await Node.make();
  await using mounts = await PrivateMounts.make();
  const flags = ["--proxy-mode=ebpf", `--ebpf-bpffs=${mounts.bpffs}`, `--ebpf-cgroup=${mounts.cgroup}`];
  const { code, stderr } = await node.run([...node.source, ...node.identity, ...flags, "--init-only"]);
  assert.equal(code, 0, stderr);
  assert.equal(await sysctl(node, timeout("tcp_timeout_close_wait")), "3600");
});

Deno.test("with a read-only /proc/sys one warning names the conntrack settings, and services are in force", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.startWith(readOnlySysctls, "--conntrack-udp-timeout=17s");
  await proxy.inForce();
  const warnings = proxy.log.split("\n").filter((line) => /^W.*nf_conntrack/.test(line));
  assert.equal(warnings.length, 1, proxy.log);
  for (const name of ["tcp_timeout_established", "tcp_timeout_close_wait", "udp_timeout"]) {
    assert.match(warnings.join(), new RegExp(`nf_conntrack_${name} is \\d+ instead of \\d+`));
  }
  assert.match(warnings.join(), /Read-only file system/);
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
});

Deno.test("--init-only prepares the sysctls, so that a start with a read-only /proc/sys has nothing to warn of", async () => {
  await using node = await Node.make();
  await node.namespace.run("sysctl", "-w", "net.ipv4.conf.all.route_localnet=0");
  const flags = ["--proxy-mode=iptables", "--conntrack-udp-timeout=17s"];
  const prepared = await node.run([...node.source, ...node.identity, ...flags, "--init-only"]);
  assert.equal(prepared.code, 0, prepared.stderr);
  assert.equal(await sysctl(node, timeout("udp_timeout")), "17");
  assert.equal(await sysctl(node, "net.ipv4.conf.all.route_localnet"), "1");
  await using proxy = node.startWith(readOnlySysctls, ...flags);
  await proxy.logs(/action="/);
  assert.doesNotMatch(proxy.log, /^W.*(nf_conntrack|route_localnet)/m);
});

Deno.test("the proxy has the OOM score of its configuration", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--oom-score-adj=300");
  await proxy.inForce();
  assert.equal(Deno.readTextFileSync(`/proc/${proxy.pid}/oom_score_adj`).trim(), "300");
});
