import assert from "node:assert/strict";
import type { Explanation } from "../../../core/explain/explanation.ts";
import { assertComplaint, Node } from "./support/node.ts";
import { WITHOUT_NET_ADMIN } from "../support/network_namespace.ts";
import type { CheckReport } from "../../../core/commands/check/check.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { reachable, service } from "./support/objects.ts";

/** Conntrack entries that a test may make: 5 s, and 80 MB of the kernel's memory. */
const MAX_FILLED = 300_000;

Deno.test("explain names what is wrong on a node", async (t) => {
  await using node = await Node.make();
  await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  await node.write("a.json", [...reachable("web", "10.96.0.10"), service("lonely", "10.96.0.11")]);
  const ask = async (question: string, ...flags: readonly string[]) => {
    const args = ["explain", question, ...node.source, ...node.identity, "--output=json", ...flags];
    const { code, stdout, stderr } = await node.run(args);
    assert.notEqual(stdout, "", stderr);
    const explanation: Explanation = JSON.parse(stdout);
    return { code, causes: explanation.findings.map(({ cause }) => cause), explanation };
  };
  await using proxy = node.start();
  await proxy.inForce();

  await t.step("nothing", async () => {
    const { code, causes, explanation } = await ask("default/web");
    assert.deepEqual(causes, []);
    assert.equal(code, 0);
    assert.deepEqual(explanation.servicePorts.map(({ name }) => name), ["default/web"]);
    const { stdout } = await node.run(["explain", "10.96.0.10:80", ...node.source, ...node.identity]);
    assert.match(stdout, /^10\.96\.0\.10:80\/TCP\n/);
    assert.match(stdout, /^From 203\.0\.113\.254 \(clients outside\) to 10\.96\.0\.10:80\/TCP$/m);
    assert.match(stdout, /^No problem was found\.$/m);
  });
  await t.step("a service without endpoints", async () => {
    assert.deepEqual(await ask("default/lonely").then(({ code, causes }) => [code, causes]), [1, [
      "no-slices",
    ]]);
  });
  await t.step("a pod as the client, of this node or of another one", async () => {
    const pod = (name: string, nodeName: string, podIP: string) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "shop" },
      spec: { nodeName },
      status: { podIP },
    });
    await node.write("pods.json", [pod("cart", "here", "10.244.0.7"), pod("far", "there", "10.244.1.7")]);
    const near = await ask("10.96.0.10:80", "--from=pod/shop/cart");
    assert.deepEqual([near.code, near.causes], [0, []]);
    assert.deepEqual(near.explanation.walks.map(({ from }) => from.replace(/ .*/, "")), ["10.244.0.7"]);
    const far = await ask("10.96.0.10:80", "--from=pod/shop/far");
    assert.deepEqual([far.code, far.causes], [0, ["client-on-another-node"]]);
    const unknown = ["explain", "default/web", "--from=pod/none", ...node.source, ...node.identity];
    assert.match((await node.run(unknown)).stderr, /--from pod\/default\/none: no EndpointSlice has the pod/);
    await Deno.remove(`${node.manifests}/pods.json`);
  });
  await t.step("forwarding is off", async () => {
    await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=0");
    assert.deepEqual((await ask("10.96.0.10:80")).causes, ["forwarding-off"]);
    await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
  });
  const limit = Number(Deno.readTextFileSync("/proc/sys/net/netfilter/nf_conntrack_max"));
  // The limit belongs to the host, and a larger table takes long to fill.
  await t.step({
    name: "the conntrack table is full",
    ignore: limit > MAX_FILLED,
    fn: async () => {
      let asked = 0;
      const fill = async (count: number) => {
        const port = 1000 + asked++;
        const entries = Array.from({ length: count }, (_, index) => {
          const source = [10, index >> 16, index >> 8 & 255, index & 255].join(".");
          return `-I -s ${source} -d 192.0.2.1 -p tcp --sport ${port} --dport 81 --state ESTABLISHED -u ASSURED -t 3600\n`;
        });
        await Deno.writeTextFile(`${node.directory}/entries`, entries.join(""));
        // The last ones do not fit beside those of the proxy's own connections.
        await node.namespace.run("sh", "-c", `conntrack --load-file ${node.directory}/entries || true`);
        return await ask("default/web");
      };
      try {
        let answer = await fill(limit);
        // Above 95 %, the kernel removes closed connections of the steps before, and has room again.
        await proxy.until(async () => {
          if (!answer.causes.includes("conntrack-full")) answer = await fill(1000);
          return answer.causes.includes("conntrack-full");
        }, "full table");
        // No new connection reaches the proxy, either.
        assert.deepEqual([answer.code, answer.causes], [1, ["conntrack-full", "status-unknown"]]);
        assert.match(answer.explanation.findings[0]?.text ?? "", new RegExp(`${limit}`));
      } finally {
        await node.namespace.run("conntrack", "--flush");
      }
      assert.deepEqual((await ask("default/web")).causes, []);
    },
  });
  await t.step("strict reverse path filter, and a bridge that netfilter does not see", async () => {
    await node.namespace.run("ip", "link", "add", "cni0", "type", "bridge");
    await node.namespace.run("sysctl", "-qw", "net.ipv4.conf.cni0.rp_filter=1");
    await node.namespace.run(
      "sh",
      "-c",
      "! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-iptables=0",
    );
    const { code, causes } = await ask("default/web");
    assert.deepEqual(causes, ["bridge-bypasses-netfilter", "reverse-path-filter"]);
    assert.equal(code, 0, "these are notices");
    await node.namespace.run("ip", "link", "delete", "cni0");
  });
  await t.step("another program is called kube-proxy and runs beside it", async () => {
    const program = `${node.directory}/kube-proxy`;
    await Deno.copyFile("/bin/sleep", program);
    const other = node.spawn([program, "60"]);
    try {
      await proxy.until(
        async () => (await ask("default/web")).causes.includes("another-proxy-runs"),
        "finding",
      );
    } finally {
      other.kill();
      await Promise.all([other.status, other.stdout.cancel(), other.stderr.cancel()]);
    }
  });
  await t.step("the proxy runs in another mode than was asked about", async () => {
    const { causes, explanation } = await ask("default/web", "--proxy-mode=iptables");
    assert.deepEqual(causes, ["other-configuration"]);
    assert.match(explanation.findings[0]?.text ?? "", /: mode is "nftables" there and "iptables" here\./);
  });
  await t.step("the source is gone", async () => {
    await Deno.rename(node.manifests, `${node.manifests}-away`);
    await proxy.until(async () => (await ask("default/web")).causes.includes("source-lost"), "finding");
    assert.deepEqual((await ask("default/web")).causes, ["source-unreadable", "source-lost"]);
    await Deno.rename(`${node.manifests}-away`, node.manifests);
  });
  await t.step("no proxy runs", async () => {
    await proxy.end("SIGTERM");
    assert.deepEqual((await ask("default/web")).causes, ["proxy-not-running"]);
  });
  await t.step("the rules differ from the plan", async () => {
    await node.namespace.run("nft", "flush", "map", "ip", "kube-proxy", "service-ips");
    const { code, explanation, causes } = await ask("default/web");
    assert.deepEqual([code, causes], [1, ["kernel-differs", "proxy-not-running"]]);
    assert.match(explanation.findings[0]?.text ?? "", /^They differ from the plan: missing .*10\.96\.0\.10/);
  });
  await t.step("there are no rules, but those of another mode", async () => {
    const asked = await ask("default/web", "--proxy-mode=iptables");
    assert.deepEqual(asked.causes, ["nothing-programmed", "rules-of-another-mode", "proxy-not-running"]);
    await node.namespace.run("nft", "flush", "ruleset");
    assert.deepEqual((await ask("default/web")).causes, ["nothing-programmed", "proxy-not-running"]);
  });
  await t.step("without privileges", async () => {
    const args = ["explain", "default/web", ...node.source, ...node.identity, "--output=json"];
    const { stdout, stderr } = await node.run(args, WITHOUT_NET_ADMIN);
    assert.notEqual(stdout, "", stderr);
    const { findings }: Explanation = JSON.parse(stdout);
    assert.deepEqual(findings.map(({ cause }) => cause), ["proxy-not-running", "kernel-unreadable"]);
  });
  await t.step("a question that is none", async () => {
    const finished = await node.run(["explain", "../../etc/passwd", ...node.source, ...node.identity]);
    assert.equal(finished.code, 2);
    assertComplaint(
      { ...finished, code: 1 },
      /is neither a service nor an address: write NAMESPACE\/SERVICE/,
    );
    const badClient = ["explain", "default/web", "--from=pod", ...node.source, ...node.identity];
    assert.match(
      (await node.run(badClient)).stderr,
      /--from "pod": must be node, an IP address, pod\/NAMESPACE\/NAME or NAMESPACE\/SERVICE/,
    );
  });
});

Deno.test("the proxy is not its own rival when its program is called kube-proxy", async () => {
  await using node = await Node.make();
  await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  await node.write("a.json", reachable("web", "10.96.0.10"));
  const program = `${node.directory}/kube-proxy`;
  await Deno.symlink(proxyBinary, program);
  // The name of a process is that of the file that was executed.
  const asKubeProxy = ["sh", "-c", `exec ${program} "$@"`];
  const ask = async (command: readonly string[]) =>
    (await node.run([...command, ...node.source, ...node.identity, "--output=json"], asKubeProxy)).stdout;
  const causes = async () => {
    const { findings }: Explanation = JSON.parse(await ask(["explain", "default/web"]));
    return findings.map(({ cause }) => cause);
  };
  const othersAtWork = async () => {
    const report: CheckReport = JSON.parse(await ask(["check", "--proxy-mode=nftables"]));
    return report.node.find(({ name }) => name === "no other proxy at work")?.detail;
  };
  assert.deepEqual(await causes(), ["nothing-programmed", "proxy-not-running"]);
  assert.match(await othersAtWork() ?? "", /^none /);
  await using proxy = node.startWith(asKubeProxy);
  await proxy.inForce();
  assert.equal((await Deno.readTextFile(`/proc/${proxy.pid}/comm`)).trim(), "kube-proxy");
  assert.deepEqual(await causes(), []);
  assert.doesNotMatch(await othersAtWork() ?? "", /kube-proxy \(pid/);
});
