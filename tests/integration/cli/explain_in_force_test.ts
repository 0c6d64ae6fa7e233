import assert from "node:assert/strict";
import type { Explanation } from "../../../core/explain/explanation.ts";
import { TableOwner } from "../support/table_owner.ts";
import { Node } from "./support/node.ts";
import { reachable, service, slice } from "./support/objects.ts";

async function makeNode(): Promise<Node> {
  const node = await Node.make();
  await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  return node;
}

async function ask(node: Node, question: string, ...flags: readonly string[]) {
  const given = flags.length === 0 ? node.identity : flags;
  const { code, stdout, stderr } = await node.run([
    ...["explain", question, ...node.source, ...given, "--output=json"],
  ]);
  assert.notEqual(stdout, "", stderr);
  const explanation: Explanation = JSON.parse(stdout);
  const { findings, servicePorts } = explanation;
  return {
    code,
    causes: findings.map(({ cause }) => cause),
    text: findings.map(({ text }) => text).join(" "),
    advice: findings.map(({ advice }) => advice).join(" "),
    frontends: servicePorts.flatMap(({ frontends }) => frontends.map(({ frontend }) => frontend)),
  };
}

Deno.test("explain and diff know that the version before of a broken object stays in force", async (t) => {
  await using node = await makeNode();
  await node.write("a.json", reachable("web", "10.96.0.10"));
  const second = reachable("web2", "10.96.0.22");
  const invalid = [service("web2", "10.96.0.22", { ports: [{ port: 99999 }] }), second[1] as object];
  await node.write("b.json", second);
  const proxy = node.start();
  await using _proxy = proxy;
  await proxy.inForce();
  const broken = /b\.json is broken or cannot be read, and .*Service default\/web2.* may be in force/;

  await t.step("an object is invalid", async () => {
    await node.write("b.json", invalid);
    await proxy.logs(/Service default\/web2: spec\.ports\[0\]\.port/);
    assert.deepEqual((await ask(node, "default/web")).causes, []);
    const kept = await ask(node, "default/web2");
    assert.deepEqual([kept.code, kept.causes, kept.frontends], [1, ["invalid-service"], ["10.96.0.22:80"]]);
    assert.match(kept.text, /^The object is invalid: spec\.ports\[0\]\.port.* stays in force\.$/);
    const atAddress = await ask(node, "10.96.0.22:80");
    assert.deepEqual([atAddress.causes, atAddress.frontends], [["invalid-service"], ["10.96.0.22:80"]]);
  });
  await t.step("a start would not remove it", async () => {
    const { code, stdout, stderr } = await node.run(["diff", ...node.source, ...node.identity]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /proxy: a start would leave the kernel as it is: /);
    assert.match(stderr, broken);
  });
  await t.step("a file is no YAML", async () => {
    await node.write("b.json", second);
    await proxy.until(async () => (await ask(node, "default/web2")).code === 0, "valid version");
    await node.write("b.json", "{");
    await proxy.logs(/b\.json:1: .*its last valid version stays in force/);
    assert.deepEqual((await ask(node, "default/web")).causes, []);
    const kept = await ask(node, "default/web2");
    assert.deepEqual([kept.code, kept.causes, kept.frontends], [0, ["only-in-force"], ["10.96.0.22:80"]]);
  });
  await t.step("no proxy runs that could tell what is in force", async () => {
    await proxy.end("SIGTERM");
    await node.write("b.json", invalid);
    const asked = await ask(node, "default/web");
    assert.deepEqual(asked.causes, ["proxy-not-running", "kernel-differs"]);
    assert.match(
      asked.text,
      /objects that are invalid now, whose version before .*: Service default\/web2\.$/,
    );
  });
  await t.step("a start does as diff says", async () => {
    await using restarted = node.start();
    await restarted.logs(broken);
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web", "10.96.0.22:80 default/web2"]);
    await node.write("b.json", second);
    await restarted.inForce();
    assert.equal((await node.run(["diff", ...node.source, ...node.identity])).code, 0);
    assert.deepEqual((await ask(node, "default/web2")).causes, []);
  });
});

Deno.test("explain names the settings that the running proxy has instead of its own", async () => {
  await using node = await makeNode();
  await node.write("a.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  const { code, causes, text, advice } = await ask(node, "default/web", "--hostname-override=here", "-v=4");
  assert.deepEqual([code, causes], [0, ["other-configuration"]]);
  assert.match(text, / than this command: clusterCIDR is "10\.244\.0\.0\/16" there and "" here\./);
  assert.match(
    advice,
    /: \S+proxy --manifests=\S+ --cluster-cidr=10\.244\.0\.0\/16 --hostname-override=here$/,
  );
  const elsewhere = await ask(
    node,
    "default/web",
    "--cluster-cidr=10.244.0.0/16",
    "--hostname-override=there",
  );
  assert.match(elsewhere.text, /the node is "here" there and "there" here/);
});

Deno.test("explain says what the running proxy says of itself, and where node ports do not answer", async (t) => {
  await using node = await makeNode();
  await node.write("a.json", [
    service("web", "10.96.0.10", { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] }),
    slice("web", ["10.244.1.11"]),
  ]);
  const flags = [...node.identity, "--nodeport-addresses=198.51.100.0/24"];
  await using proxy = node.start(...flags.slice(node.identity.length));
  await proxy.inForce();
  await t.step("node ports have no address", async () => {
    const { code, causes, text } = await ask(node, "default/web", ...flags);
    assert.deepEqual([code, causes], [1, ["node-port-on-no-address"]]);
    assert.match(text, /^Its node port 30080 answers on no IPv4 address of this node\.$/);
  });
  await t.step("another program changes the rules", async () => {
    await node.namespace.run("nft", "delete", "table", "ip", "kube-proxy");
    await proxy.logs(/Reconciled the kernel with the plans[^]*Reconciled the kernel with the plans/);
    const { causes, text } = await ask(node, "default/web", ...flags);
    assert.deepEqual(causes, ["node-port-on-no-address", "foreign-changes"]);
    assert.match(text, /the proxy repairs them: .* deleted by nft/);
  });
  await t.step("the last sync failed", async () => {
    await proxy.end();
    await node.namespace.run("nft", "flush", "ruleset");
    await using _owner = await TableOwner.of(node.namespace, "ip", "kube-proxy");
    await using failing = node.start();
    await failing.logs(/belongs to python3/);
    const { code, causes, text } = await ask(node, "default/web");
    assert.equal(code, 1);
    assert(causes.includes("sync-fails"), causes.join());
    assert.match(text, /It failed: .*Table ip kube-proxy belongs to python3/);
  });
});
