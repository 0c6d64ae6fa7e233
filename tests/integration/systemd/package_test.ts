import assert from "node:assert/strict";
import { Lab } from "../../lab/lab.ts";
import { isAnswered } from "../../lab/agent.ts";
import { serviceAddress } from "../../lab/topology.ts";
import { answered, Traffic } from "../../lab/traffic.ts";
import { run } from "../support/network_namespace.ts";
import { webObjects } from "../support/web_objects.ts";
import { SystemdMachine } from "./machine.ts";

const project = new URL("../../../", import.meta.url).pathname;

await run(`${project}scripts/setup.sh`, "package");
await run(`${project}scripts/build.sh`);
await run("env", "PROXY_DEB_COMPRESSION=none", `${project}scripts/deb.sh`);
const [deb = ""] = [...Deno.readDirSync(`${project}dist`)].map(({ name }) => name)
  .filter((name) => name.endsWith(".none.deb"));

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

Deno.test("the package passes lintian", async () => {
  // The package of the tests is not compressed.
  const suppressed = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball";
  const command = [
    "lintian",
    "--fail-on=error,warning",
    `--suppress-tags=${suppressed}`,
    `${project}dist/${deb}`,
  ];
  // Checking 96 MB takes longer than other commands may.
  const { code, stdout } = await new Deno.Command("nice", { args: command, stderr: "null" }).output();
  assert.equal(code, 0, new TextDecoder().decode(stdout));
});

Deno.test("the package on a node with systemd: install, start, reload, watchdog, upgrade, remove, purge", async (t) => {
  await using lab = await Lab.create();
  await using machine = await SystemdMachine.boot(lab.namespace("node"));
  await Deno.copyFile(`${project}dist/${deb}`, machine.path("/root/proxy.deb"));
  const install = () => machine.run("dpkg", "--install", "--force-depends", "/root/proxy.deb");
  const state = () => machine.property("proxy", "ActiveState");
  const active = () => machine.until(async () => await state() === "active", "active unit");
  const mainPid = () => machine.property("proxy", "MainPID");
  const client = lab.agent("outside");
  const restartWith = async (mode: string) => {
    const path = "/etc/proxy/config.conf";
    const config = await Deno.readTextFile(machine.path(path));
    await machine.write(path, config.replace(/^mode: .*$/m, `mode: ${mode}`));
    await machine.run("systemctl", "restart", "proxy");
  };

  await t.step("installed, it is enabled and waits for something to follow", async () => {
    await install();
    assert.equal(await machine.ask("systemctl", "is-enabled", "proxy"), "enabled");
    assert.equal(await state(), "inactive");
    assert.equal(await machine.property("proxy", "ConditionResult"), "no");
  });

  await t.step("with manifests, it starts, and is active when the rules are in force", async () => {
    const config = await Deno.readTextFile(machine.path("/etc/proxy/config.conf"));
    await machine.write("/etc/proxy/config.conf", config.replace(/^clientConnection:\n(?: .*\n)*/m, ""));
    await machine.write("/etc/default/proxy", 'PROXY_FLAGS="--manifests=/etc/proxy/manifests"\n');
    await machine.write("/etc/proxy/manifests/web.json", list(webObjects("web", web.to)));
    await machine.run("systemctl", "start", "proxy");
    assert.match(await machine.run("nft", "list", "map", "ip", "kube-proxy", "service-ips"), /default\/web/);
    assert.equal(await machine.property("proxy", "StatusText"), "Mode nftables: 1 service port in force");
    await answered(client, web);
  });

  await t.step("it sets sysctls in its sandbox", async () => {
    const path = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
    assert.equal(await machine.ask("cat", path), "3600");
    const log = await machine.ask("journalctl", "--unit=proxy", "--output=cat");
    assert.doesNotMatch(log, /not in force|cannot be set|Read-only/);
  });

  await t.step("systemctl reload reads everything again in the same process", async () => {
    const pid = await mainPid();
    await machine.run("systemctl", "reload", "proxy");
    await active();
    assert.equal(await mainPid(), pid);
  });

  await t.step("the watchdog restarts a process that is stopped", async () => {
    await machine.write("/etc/systemd/system/proxy.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n");
    await machine.run("systemctl", "daemon-reload");
    await machine.run("systemctl", "restart", "proxy");
    const pid = await mainPid();
    await machine.run("kill", "-STOP", pid);
    await machine.until(async () => !["0", pid].includes(await mainPid()), "new process");
    await active();
    await machine.run("rm", "-r", "/etc/systemd/system/proxy.service.d");
    await machine.run("systemctl", "daemon-reload");
  });

  await t.step(
    "a change from mode userspace to another one leaves no socket that nobody serves",
    async () => {
      const kept = () => machine.property("proxy", "NFileDescriptorStore");
      const listening = () => machine.run("ss", "-tulnH", "sport = :10270 or sport = :10271");
      await restartWith("userspace");
      assert.notEqual(await listening(), "");
      await machine.until(async () => Number(await kept()) > 0, "socket that is kept");
      await restartWith("nftables");
      assert.equal(await listening(), "");
      await machine.until(async () => await kept() === "0", "end of the sockets that were kept");
    },
  );

  await t.step("the target of the boot starts it", async () => {
    await machine.run("systemctl", "stop", "proxy");
    await machine.run("systemctl", "start", "multi-user.target");
    await active();
  });

  const held = await client.probe(web, { times: 20, keep: true });
  const connections = held.filter(isAnswered).map(({ connection }) => connection ?? -1);
  assert.equal(connections.length, 20);
  const traffic = new Traffic(lab.agent("pod-c"), web, { times: 4, pauseMs: 20 });

  await t.step("an upgrade starts the new version", async () => {
    const pid = await mainPid();
    await install();
    await machine.until(async () => !["0", pid].includes(await mainPid()), "new process");
    await active();
  });

  await t.step("removed, the rules stay", async () => {
    await machine.run("dpkg", "--remove", "proxy");
    assert.equal(await state(), "inactive");
    assert.match(await machine.run("nft", "list", "map", "ip", "kube-proxy", "service-ips"), /default\/web/);
  });

  await t.step("no connection was lost, and none failed", async () => {
    const { connections: made, failures } = await traffic.stop();
    assert.deepEqual(failures.slice(0, 3), [], `${failures.length} of ${made}`);
    assert.ok((await client.send(connections)).every(isAnswered), "a connection was lost");
    assert.ok(made > 20, `only ${made} connections were made`);
  });

  await t.step("purged, the rules go", async () => {
    await machine.run("dpkg", "--purge", "proxy");
    assert.equal(await machine.run("nft", "list", "tables"), "");
    for (const path of ["/var/lib/proxy", "/run/proxy", "/etc/proxy/config.conf", "/usr/sbin/proxy"]) {
      assert.equal(await machine.ask("sh", "-c", `test -e ${path} && echo there`), "", path);
    }
  });

  await t.step(
    "the purge of a proxy whose rules were never in force leaves those of kube-proxy",
    async () => {
      await machine.run("nft", "add table ip kube-proxy");
      await install();
      await machine.run("dpkg", "--purge", "proxy");
      assert.match(await machine.run("nft", "list", "tables"), /kube-proxy/);
    },
  );
});

function list(items: readonly object[]): string {
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}
