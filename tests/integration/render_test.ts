import assert from "node:assert/strict";
import { Node } from "./cli/support/node.ts";
import { service, slice } from "./cli/support/objects.ts";

/** Services of every kind that has rules of its own. */
const objects = [
  service("web", "10.96.0.10", {
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 30999,
    ports: [{ name: "http", port: 80, nodePort: 30080 }],
  }),
  slice("web", ["10.244.0.11", "10.244.1.11"], {
    ports: [{ name: "http", port: 8080 }],
    endpoints: [
      { addresses: ["10.244.0.11"], nodeName: "here" },
      { addresses: ["10.244.1.11"], nodeName: "there" },
    ],
  }),
  service("sticky", "10.96.0.11", { sessionAffinity: "ClientIP", externalIPs: ["203.0.113.5"] }),
  slice("sticky", ["10.244.0.12", "10.244.1.12"]),
  service("dns", "10.96.0.53", { ports: [{ port: 53, protocol: "UDP" }] }),
  slice("dns", ["10.244.1.53"], { ports: [{ port: 53, protocol: "UDP" }] }),
  service("none", "10.96.0.99", { type: "NodePort", ports: [{ port: 80, nodePort: 30099 }] }),
  service("six", "fd00:96::10", {
    ipFamilies: ["IPv6"],
    type: "NodePort",
    ports: [{ port: 80, nodePort: 30081 }],
  }),
  slice("six", ["fd00:244::11"], { addressType: "IPv6" }),
];

const limited = [
  service("limited", "10.96.0.12", {
    type: "LoadBalancer",
    loadBalancerSourceRanges: ["192.0.2.0/24", "198.51.100.7/32"],
  }),
  slice("limited", ["10.244.1.14"]),
].map((object) =>
  "spec" in object && "type" in (object.spec as object)
    ? { ...object, status: { loadBalancer: { ingress: [{ ip: "203.0.113.9" }] } } }
    : object
);

async function nodeWith(...more: readonly object[]): Promise<Node> {
  const node = await Node.make();
  await node.write("services.json", [...objects, ...more]);
  return node;
}

const flags = (node: Node) => [
  ...node.source,
  "--hostname-override=here",
  "--cluster-cidr=10.244.0.0/16,fd00:244::/56",
  "--nodeport-addresses=127.0.0.0/8,::1/128",
];

/** The level at which the modes have all their rules. */
const FULL = "--traffic-metrics=full";

async function output(node: Node, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.run([...args, ...flags(node)]);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout;
}

/** Gives a text to a command in the namespace, on its standard input. */
async function feed(node: Node, text: string, ...command: readonly string[]): Promise<void> {
  const path = `${node.directory}/input`;
  await Deno.writeTextFile(path, text);
  await node.namespace.run("sh", "-c", `exec "$@" <${path}`, "sh", ...command);
}

/** The words of a listing, in any order, because elements have none. */
function words(listing: string): string[] {
  return listing.split(/[\s,]+/).sort();
}

Deno.test("nft loads the text of mode nftables, and lists the same as after a start", async () => {
  await using node = await nodeWith(...limited);
  const list = async () => words(await node.namespace.run("nft", "--stateless", "list", "ruleset"));
  await feed(node, await output(node, "render", "-o", "native", "--for=nft"), "nft", "-f", "-");
  const loaded = await list();
  await node.namespace.run("nft", "flush", "ruleset");
  await using proxy = node.start(...flags(node).slice(1));
  await proxy.inForce();
  assert.deepEqual(loaded, await list());
});

Deno.test("after nft has loaded the text of mode nftables, a start has nothing to change but a rule that nft wrote differently", async () => {
  await using node = await nodeWith(...limited);
  for (const loading of ["into an empty kernel", "once more"]) {
    await feed(node, await output(node, "render", FULL, "-o", "native"), "nft", "-f", "-");
    const { code, stdout } = await node.run(["diff", FULL, ...flags(node)]);
    const changes = stdout.split("\n").filter((line) => /^[-+~]/.test(line));
    // nft 1.0.6 adds an instruction without effect to the rule of source ranges.
    const others = changes.filter((line) =>
      !/^~ rules of chain firewall-check of table ip6? kube-proxy$/.test(line)
    );
    assert.deepEqual([others, code], [[], changes.length === 0 ? 0 : 1], loading);
  }
});

Deno.test("after nft has loaded the text of mode userspace, a start has nothing to change but rules that nft wrote differently", async () => {
  await using node = await nodeWith(...limited);
  const mode = "--proxy-mode=userspace";
  for (const loading of ["into an empty kernel", "once more"]) {
    await feed(node, await output(node, "render", mode, FULL, "-o", "native"), "nft", "-f", "-");
    const { code, stdout } = await node.run(["diff", mode, FULL, ...flags(node)]);
    const changes = stdout.split("\n").filter((line) => /^[-+~]/.test(line));
    // nft 1.0.6 adds an instruction without effect to the rule of source ranges.
    const others = changes.filter((line) =>
      !/^~ rules of chain firewall-check of table ip6? kube-proxy-userspace$/.test(line)
    );
    assert.deepEqual([others, code], [[], changes.length === 0 ? 0 : 1], loading);
  }
});

Deno.test("nft lists the table of mode userspace after a start as after loading its text", async () => {
  await using node = await nodeWith(...limited);
  const mode = "--proxy-mode=userspace";
  const list = async () => words(await node.namespace.run("nft", "--stateless", "list", "ruleset"));
  await feed(node, await output(node, "render", mode, "-o", "native", "--for=nft"), "nft", "-f", "-");
  const loaded = await list();
  await node.namespace.run("nft", "flush", "ruleset");
  await using proxy = node.start(mode, ...flags(node).slice(1));
  await proxy.inForce();
  assert.deepEqual(loaded, await list());
});

Deno.test("after iptables-restore has loaded the text of mode iptables, a start adds its counters only", async () => {
  await using node = await nodeWith(...limited);
  const mode = "--proxy-mode=iptables";
  for (const tool of ["iptables", "ip6tables"]) {
    const text = await output(node, "render", mode, "-o", "native", `--for=${tool}-restore`);
    await feed(node, text, `${tool}-nft-restore`, "--test", "--noflush");
    await feed(node, text, `${tool}-nft-restore`, "--noflush");
  }
  const text = await output(node, "render", mode, FULL, "-o", "native", "--for=nft");
  await feed(node, text, "nft", "-f", "-");
  const { stdout } = await node.run(["diff", mode, FULL, ...flags(node)]);
  const changes = stdout.split("\n").filter((line) => /^[-+~]/.test(line));
  const counting = /KUBE-FORWARD of table ip6? filter$|KUBE-NODEPORTS of table ip nat$/;
  assert.deepEqual(changes.filter((line) => !counting.test(line)), [], stdout);
  assert.match(stdout, /^Found rules of this mode\.$/m);
});

Deno.test("render needs no privileges, and prints the plan as YAML or JSON", async () => {
  await using node = await nodeWith();
  await Deno.chmod(node.directory, 0o755);
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
  const run = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await node.run(["render", ...args, ...flags(node)], asNobody);
    assert.deepEqual([code, stderr], [0, ""]);
    return stdout;
  };
  assert.match(await run(), /^ {2}- servicePort: default\/web:http\n {4}family: IPv4$/m);
  const plan = JSON.parse(await run("--output=json"));
  const web = plan.servicePorts.find((one: { servicePort: string }) =>
    one.servicePort === "default/web:http"
  );
  assert.deepEqual(web.frontends, [
    { kind: "ClusterIP", address: "10.96.0.10", port: 80 },
    { kind: "NodePort", port: 30080 },
  ]);
  assert.deepEqual(web.localEndpoints, [{ address: "10.244.0.11", port: 8080, isLocal: true }]);
  assert.match(await run("--output=native"), /^# nft -f -\ntable ip kube-proxy\n/);
  assert.match(await run("--output=native", "--proxy-mode=ipvs"), /^-A -t 10\.96\.0\.10:80 -s rr$/m);
  assert.match(await run("--output=native", "--proxy-mode=iptables"), /^# ip6tables-restore --noflush$/m);
});

Deno.test("what cannot be rendered is one message", async () => {
  await using node = await nodeWith();
  const cases: readonly (readonly [args: readonly string[], message: string])[] = [
    [
      ["-o", "native", "--proxy-mode=ebpf"],
      "--output native: mode ebpf has no text form; use --output=yaml for the plan",
    ],
    [["-o", "native", "--for=iptables"], '--for "iptables": must be nft'],
    [["--for=nft"], "--for nft: must be used with --output=native"],
    [["-o", "table"], '--output "table": must be yaml, json or native'],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await node.run(["render", ...args, ...flags(node)]);
    assert.deepEqual([code, stdout, stderr], [1, "", `proxy: ${message}\n`]);
  }
});
