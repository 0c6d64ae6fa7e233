import assert from "node:assert/strict";
import { nodeRequirements, type NodeUse } from "../../../../core/commands/check/node_requirements.ts";
import type { KernelFacts } from "../../../../core/node/kernel_facts.ts";
import { address } from "../../plan/builders.ts";

const good: KernelFacts = {
  forwards: { IPv4: true, IPv6: true },
  strictReversePath: ["eth0"],
  bridges: [],
  bridgesCallNetfilter: { IPv4: undefined, IPv6: undefined },
  conntrack: { entries: 10, limit: 1000 },
  legacyTables: [],
  otherProxies: [],
  seesAllProcesses: true,
};

const use: NodeUse = {
  families: ["IPv4", "IPv6"],
  healthz: { hostname: "0.0.0.0", port: 10256 },
  metrics: { hostname: "127.0.0.1", port: 10249 },
  conntrackMax: 131072,
  lockHolder: undefined,
  otherModes: [{ mode: "a", removed: [] }],
  listeners: [{ address: address("127.0.0.1"), port: 22, inode: 1 }],
  owners: new Map([[7, { pid: 4711, name: "nginx" }]]),
};

/** Lists the missing requirements: severity, name, detail and fix. */
function missing(facts: Partial<KernelFacts>, more: Partial<NodeUse> = {}): string[] {
  return nodeRequirements({ ...good, ...facts }, { ...use, ...more })
    .filter(({ found }) => !found)
    .map(({ name, detail, fix, severity }) =>
      [severity, name, detail, ...(fix === undefined ? [] : [fix])].join("; ")
    );
}

Deno.test("a node as it should be lacks nothing", () => {
  assert.deepEqual(missing({}), []);
  assert.deepEqual(missing({ conntrack: undefined }), []);
});

Deno.test("forwarding that is off is named with the command, for the families of the node", () => {
  const off = { IPv4: false, IPv6: undefined };
  assert.deepEqual(missing({ forwards: off }), [
    "recommended; sysctl net.ipv4.ip_forward = 1; it is 0, so endpoints in pods and on other nodes cannot be reached; " +
    "sysctl -w net.ipv4.ip_forward=1",
    "recommended; sysctl net.ipv6.conf.all.forwarding = 1; it is not readable, so endpoints in pods and on other " +
    "nodes cannot be reached; sysctl -w net.ipv6.conf.all.forwarding=1",
  ]);
  assert.equal(missing({ forwards: off }, { families: ["IPv4"] }).length, 1);
});

Deno.test("a strict path filter matters with two devices", () => {
  assert.match(
    missing({ strictReversePath: ["eth0", "eth1"] }).join(),
    /strict for eth0 and eth1: .*rp_filter=2$/,
  );
  const many = ["a", "b", "c", "d", "e", "f", "g"];
  assert.match(missing({ strictReversePath: many }).join(), /strict for a, b, c, d, e and 2 more:/);
});

Deno.test("bridge-nf-call matters where there is a bridge", () => {
  const [first, second] = missing({ bridges: ["cni0"] });
  assert.match(
    first ?? "",
    /it is missing: a pod on bridge cni0 .*; modprobe br_netfilter; sysctl -w net\.bridge\./,
  );
  assert.match(second ?? "", /bridge-nf-call-ip6tables/);
});

Deno.test("a conntrack table that is nearly full is named with a limit of twice its entries", () => {
  assert.deepEqual(missing({ conntrack: { entries: 750, limit: 1000 } }), []);
  assert.match(
    missing({ conntrack: { entries: 200_000, limit: 262_144 } }).join(),
    /200000 of at most 262144 .*Recommended limit: 400000; sysctl -w net\.netfilter\.nf_conntrack_max=400000$/,
  );
  assert.match(missing({ conntrack: { entries: 900, limit: 1000 } }).join(), /nf_conntrack_max=131072$/);
  // The kernel tracks any number of connections if the limit is 0.
  assert.deepEqual(missing({ conntrack: { entries: 213, limit: 0 } }), []);
});

Deno.test("a port in use is named with its owner, at the address or at all addresses", () => {
  const listener = (ip: string, port: number) => ({ listeners: [{ address: address(ip), port, inode: 7 }] });
  const taken =
    "recommended; 127.0.0.1:10249 for metrics; nginx (pid 4711) listens on it: stop that, or use another " +
    "address";
  assert.deepEqual(missing({}, listener("127.0.0.1", 10249)), [taken]);
  assert.deepEqual(missing({}, listener("0.0.0.0", 10249)), [taken]);
  assert.deepEqual(missing({}, listener("192.0.2.1", 10249)), []);
  assert.match(missing({}, listener("192.0.2.1", 10256)).join(), /0\.0\.0\.0:10256 for health; nginx/);
  assert.deepEqual(missing({}, { ...listener("0.0.0.0", 10249), metrics: undefined }), []);
  assert.match(
    missing({}, listener("192.0.2.1", 30080)).join(),
    /^optional; node ports 30000-32767; 30080 \(nginx \(pid 4711\)\) in use/,
  );
  assert.match(
    missing({}, { ...listener("192.0.2.1", 30080), owners: new Map() }).join(),
    /30080 \(another process \(192\.0\.2\.1:30080\)\)/,
  );
});

Deno.test("other proxies at work are named", () => {
  const running = missing({ otherProxies: [{ pid: 12, name: "kube-proxy" }] }, {
    lockHolder: "a proxy (pid 3)",
  });
  assert.match(
    running.join(),
    /no other proxy at work; a proxy \(pid 3\) and kube-proxy \(pid 12\) in this network/,
  );
});

Deno.test("a container does not see the proxies of other containers, and is told where to look", () => {
  const detailOf = (facts: Partial<KernelFacts>) =>
    nodeRequirements({ ...good, ...facts }, use).find(({ name }) => name === "no other proxy at work")
      ?.detail;
  assert.equal(detailOf({}), "none runs in this network namespace");
  assert.match(
    detailOf({ seesAllProcesses: false }) ?? "",
    /^none in this PID namespace, which hides other containers/,
  );
});

Deno.test("rules of other modes are named, unless the kernel cannot be read", () => {
  const removed = ["table ip kube-proxy", "table ip6 kube-proxy"];
  assert.deepEqual(missing({}, { otherModes: [{ mode: "a", removed }, { mode: "b", removed: [] }] }), [
    "optional; no rules of other modes; mode a: table ip kube-proxy and table ip6 kube-proxy. A start removes them " +
    "once its own are in force (proxy diff lists them)",
  ]);
  const names = (otherModes: NodeUse["otherModes"]) =>
    nodeRequirements(good, { ...use, otherModes }).map(({ name }) => name);
  assert(names([]).includes("no rules of other modes"));
  assert(!names(undefined).includes("no rules of other modes"));
});
