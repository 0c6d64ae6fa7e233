import assert from "node:assert/strict";
import { proxyBinary } from "../../lab/proxy.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import { RunningProxy } from "./support/running_proxy.ts";

/** It takes a few milliseconds. The limit applies to the best of three runs, because the machine may be busy. */
const ENDS_WITHIN_MS = 200;

Deno.test("SIGTERM and SIGINT end the proxy at once with exit code 0, and the rules stay in force", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const took: number[] = [];
  for (const signal of ["SIGTERM", "SIGINT", "SIGTERM"] as const) {
    await using proxy = node.start();
    await proxy.inForce();
    const { code, ms } = await proxy.end(signal);
    assert.equal(code, 0);
    assert.match(proxy.log, /Stopping; the rules stay in force/);
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
    took.push(ms);
  }
  assert.ok(Math.min(...took) < ENDS_WITHIN_MS, `it took ${took.map(Math.round).join(", ")} ms`);
});

Deno.test("SIGTERM ends the proxy while it waits for the API server", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--master=http://127.0.0.1:1");
  await proxy.logs(/retrying/);
  assert.equal((await proxy.end()).code, 0);
});

Deno.test("SIGHUP during the start does not end the proxy", async () => {
  await using node = await Node.make();
  const path = `${node.directory}/config.yaml`;
  await node.namespace.run("mkfifo", path);
  const process = node.spawn([
    proxyBinary,
    `--config=${path}`,
    `--write-config-to=${node.directory}/written.yaml`,
  ]);
  const ended = process.output();
  // Opening a FIFO waits for the process to read its configuration.
  const fifo = await Deno.open(path, { write: true });
  process.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await fifo.write(
    new TextEncoder().encode(
      "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection: {kubeconfig: x}\n",
    ),
  );
  fifo.close();
  const { code, signal, stderr } = await ended;
  assert.deepEqual([code, signal], [0, null], new TextDecoder().decode(stderr));
});

/** Starts a program as the first process of a PID namespace, as a container does. @returns the process, and its id */
async function startFirst(node: Node, ...args: readonly string[]): Promise<[RunningProxy, number]> {
  const wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const proxy = new RunningProxy(node, node.spawn([...wrapper, proxyBinary, ...args]));
  const children = () => Deno.readTextFileSync(`/proc/${proxy.pid}/task/${proxy.pid}/children`).trim();
  await proxy.until(() => children() !== "", "process in the PID namespace");
  return [proxy, Number(children())];
}

for (const [signal, expected] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`${signal} ends a command that is the first process of a container with exit code ${expected}`, async () => {
    await using node = await Node.make();
    const path = `${node.directory}/config.yaml`;
    await node.namespace.run("mkfifo", path);
    const [proxy, pid] = await startFirst(node, "check", `--config=${path}`);
    await using _ends = proxy;
    // Opening a FIFO waits for the process to read its configuration.
    using _fifo = await Deno.open(path, { write: true });
    Deno.kill(pid, signal);
    await proxy.until(() => !proxy.isRunning, "end");
    assert.equal((await proxy.end()).code, expected, proxy.log);
  });
}

Deno.test("SIGTERM ends a proxy that is the first process of a container with exit code 0", async () => {
  await using node = await Node.make();
  const [proxy, pid] = await startFirst(node, ...node.source, ...node.identity);
  await using _ends = proxy;
  await proxy.inForce();
  Deno.kill(pid, "SIGTERM");
  await proxy.until(() => !proxy.isRunning, "end");
  assert.equal((await proxy.end()).code, 0, proxy.log);
  assert.match(proxy.log, /Stopping; the rules stay in force/);
});

Deno.test("--init-only prepares the node, programs no service, and exits with 0", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const { code, stderr } = await node.run([...node.source, ...node.identity, "--init-only"]);
  assert.equal(code, 0, stderr);
  assert.equal(await node.ruleset(), "");
});

Deno.test("--cleanup removes everything, may be repeated, and keeps foreign tables", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await node.namespace.run(
    "nft",
    "add table inet firewall; add chain inet firewall input { type filter hook input priority 0; }",
  );
  const others = await node.ruleset();
  const proxy = node.start();
  await proxy.inForce();
  await proxy.end();
  for (const _time of [1, 2]) {
    const { code, stderr } = await node.run(["--cleanup"]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /Removed all rules/);
    assert.equal(await node.ruleset(), others);
  }
});

Deno.test("--cleanup --stay keeps the lock when everything is removed, until SIGTERM", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const proxy = node.start();
  await proxy.inForce();
  await proxy.end();
  const staying = node.spawn([proxyBinary, "--cleanup", "--stay"]);
  await staying.stdout.cancel();
  let log = "";
  for await (const text of staying.stderr.pipeThrough(new TextDecoderStream())) {
    log += text;
    if (log.includes("Staying until SIGTERM")) break;
  }
  assert.equal(await node.ruleset(), "");
  const { code, stderr: refused } = await node.run(["--cleanup"]);
  assert.equal(code, 1);
  assert.match(refused, /another proxy programs this network namespace: .*cleanup/);
  staying.kill("SIGTERM");
  assert.equal((await staying.status).code, 0);
});

Deno.test("--cleanup removes kube-proxy's table", async () => {
  await using node = await Node.make();
  // The structure of kube-proxy's table: chains that reference each other through the verdicts of a map.
  for (const family of ["ip", "ip6"]) {
    await node.namespace.run(
      "nft",
      `add table ${family} kube-proxy { comment "rules for kube-proxy"; }
       add chain ${family} kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80
       add map ${family} kube-proxy service-ips { type ${
        family === "ip" ? "ipv4_addr" : "ipv6_addr"
      } . inet_proto . inet_service : verdict; }
       add element ${family} kube-proxy service-ips { ${
        family === "ip" ? "10.0.0.1" : "fd00::1"
      } . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }
       add chain ${family} kube-proxy services
       add rule ${family} kube-proxy services ${family} daddr . meta l4proto . th dport vmap @service-ips
       add chain ${family} kube-proxy nat-prerouting { type nat hook prerouting priority -100; }
       add rule ${family} kube-proxy nat-prerouting jump services`,
    );
  }
  assert.equal((await node.run(["--cleanup"])).code, 0);
  assert.equal(await node.ruleset(), "");
});
