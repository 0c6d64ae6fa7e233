import assert from "node:assert/strict";
import { serviceChain } from "../../backends/iptables/support/chain_names.ts";
import { everyKindOfPlan } from "../../backends/everything.ts";
import { planOf, settingsOf } from "../../backends/plans.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { parseListing } from "./support/listing.ts";
import { restore } from "./support/saved_rules.ts";

/** Rules of Docker, kubelet and an administrator. Some names resemble ours. */
const foreignListing = (address: string, network: string, loopback: string) => `
*raw
:PREROUTING ACCEPT [0:0]
:UNTRACKED - [0:0]
-A PREROUTING -j UNTRACKED
-A UNTRACKED -s ${network} -j ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
-A PREROUTING -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x7/0xffffffff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-SVC-OF-MINE - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -d ${network} -j KUBE-SVC-OF-MINE
-A OUTPUT ! -d ${loopback} -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s ${network} ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination ${address}
-A KUBE-SVC-OF-MINE -m comment --comment "default/web:http cluster IP" -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -s ${network} -j ACCEPT
-A DOCKER-USER -j RETURN
-A KUBE-FIREWALL -m comment --comment "kubernetes firewall for dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FIREWALL -s ${network} -j DROP
-A KUBE-SVC-AAAAAAAAAAAAAAAA -j RETURN
COMMIT
`;
const listings = {
  iptables: foreignListing("172.17.0.2:80", "172.17.0.0/16", "127.0.0.0/8"),
  ip6tables: foreignListing("[fd00:17::2]:80", "fd00:17::/64", "::1/128"),
} as const;
const commands = ["iptables", "ip6tables"] as const;

const loopbackPorts = [settingsOf("IPv4", { localhostNodePorts: true }), settingsOf("IPv6")];
const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });
const webChain = serviceChain("KUBE-SVC-", web);

Deno.test("foreign rules and chains keep their contents and their order", async () => {
  await using node = await nodeWithForeignRules();
  await using backend = new BackendProcess("iptables", node);
  const before = await foreignRules(node);
  await backend.reconcile(everyKindOfPlan, loopbackPorts);
  assert.deepEqual(await foreignRules(node), before, "after the first programming");
  const firewall = (await chainsIn(node)).find(({ where }) => where === "iptables filter KUBE-FIREWALL");
  assert.match(firewall?.rules.join("; ") ?? "", /dropping marked.*; .*; .*block incoming localnet/);

  for (const command of commands) {
    const iptables = (...args: readonly string[]) => node.run(`${command}-nft`, ...args);
    await iptables("-I", "FORWARD", "1", "-p", "udp", "-j", "ACCEPT");
    await iptables("-I", "FORWARD", "4", "-p", "tcp", "-j", "ACCEPT");
    await iptables("-t", "nat", "-I", "PREROUTING", "1", "-p", "icmp", "-j", "RETURN");
    await iptables("-t", "nat", "-A", "PREROUTING", "-p", "udp", "-j", "RETURN");
  }
  const added = await foreignRules(node);
  assert.equal(added.length, before.length + 8);
  const builtIn = await builtInRules(node);
  await backend.apply(everyKindOfPlan.map((plan) => ({ key: plan.key, old: plan, new: undefined })));
  await backend.reconcile([web], loopbackPorts);
  assert.deepEqual(await foreignRules(node), added, "after changes");
  assert.deepEqual(await builtInRules(node), builtIn, "the place of foreign rules among our jumps");

  await node.run("sh", "-c", "iptables-nft-save | grep -v KUBE-SERVICES | iptables-nft-restore");
  const report = await backend.reconcile(everyKindOfPlan, loopbackPorts);
  assert.notDeepEqual(report.differences, []);
  assert.deepEqual(await foreignRules(node), added, "after a repair");

  await backend.reconcile(everyKindOfPlan, [settingsOf("IPv6")]);
  assert.deepEqual(await foreignRules(node), added, "after a family is disabled");
  await backend.cleanup();
  assert.deepEqual(await foreignRules(node), added, "after the cleanup");
  assert.deepEqual(await ourChains(node), []);
});

Deno.test("the chain of a deleted service stays, empty, as long as a foreign rule jumps to it", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  const web6 = planOf({ name: "web", clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00::1]:80"] });
  await backend.reconcile([web, web6, other]);
  assert.equal((await chainsLike(node, "iptables", "-SVC-|-SEP-")).length, 4);
  const foreignRule = ["OUTPUT", "-d", "192.0.2.1/32", "-j", webChain];
  await node.run("iptables-nft", "-t", "nat", "-A", ...foreignRule);

  await backend.apply([
    { key: web.key, old: web, new: undefined },
    { key: web6.key, old: web6, new: undefined },
    { key: other.key, old: other, new: { ...other, affinitySeconds: 60 } },
  ]);
  assert.deepEqual((await chainsLike(node, "iptables", "SVC")).length, 2);
  assert.deepEqual(await rulesOf(node, webChain), []);
  assert.deepEqual(
    await chainsLike(node, "ip6tables", "-SVC-|-SEP-"),
    [],
    "only the chain with a foreign jump is kept",
  );
  assert.match(await node.run("iptables-nft", "-t", "nat", "-S"), /--rcheck --seconds 60/);

  await backend.apply([{ key: web.key, old: undefined, new: web }]);
  assert.equal((await rulesOf(node, webChain)).length, 2);
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  await backend.reconcile([other]);
  assert.deepEqual(await rulesOf(node, webChain), []);
  assert.deepEqual(await chainsLike(node, "iptables", webChain), [webChain]);
  assert.match(await node.run("iptables-nft", "-t", "nat", "-S", "OUTPUT"), new RegExp(`-j ${webChain}`));

  await node.run("iptables-nft", "-t", "nat", "-D", ...foreignRule);
  await backend.reconcile([other]);
  assert.deepEqual(await chainsLike(node, "iptables", webChain), []);
});

Deno.test("a cleanup leaves only the chains that foreign rules jump to, without rules", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([web, other]);
  const iptables = (...args: readonly string[]) => node.run("iptables-nft", "-t", "nat", ...args);
  await iptables("-N", "MINE");
  const kept = [webChain, "KUBE-MARK-MASQ"];
  for (const chain of kept) await iptables("-A", "MINE", "-p", "tcp", "-j", chain);
  for (let times = 0; times < 2; times++) {
    const { message } = await rejectionBy(() => backend.cleanup());
    for (const chain of kept) assert.match(message, new RegExp(`chain ${chain} of table ip nat, to which`));
    assert.deepEqual((await ourChains(node)).toSorted(), kept.map((chain) => `nat ${chain}`).sort());
    for (const chain of kept) assert.deepEqual(await rulesOf(node, chain), []);
    assert.equal((await rulesOf(node, "MINE")).length, kept.length);
  }
  await iptables("-F", "MINE");
  await backend.cleanup();
  assert.deepEqual(await ourChains(node), []);
});

async function nodeWithForeignRules(): Promise<NetworkNamespace> {
  await using owned = new AsyncDisposableStack();
  const node = owned.use(await NetworkNamespace.make());
  for (const command of commands) await restore(node, command, listings[command]);
  owned.move();
  return node;
}

/** Foreign chains, and foreign rules in their order. */
async function foreignRules(node: NetworkNamespace): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const { table, name, rules, policy, where } of await chainsIn(node)) {
    if (isOurs(table, name)) continue;
    // A built-in chain without foreign rules may have been made by us.
    const foreign = rules.filter((rule) => !isOurJump(table, rule) && !/block incoming localnet/.test(rule));
    if (policy === "ACCEPT" && foreign.length === 0) continue;
    lines.push(`:${where} ${policy}`, ...foreign.map((rule) => `${where} ${rule}`));
  }
  return lines;
}

/** All rules of the built-in chains, ours and foreign ones. */
async function builtInRules(node: NetworkNamespace): Promise<readonly string[]> {
  const builtIn = (await chainsIn(node)).filter(({ policy }) => policy !== "-");
  return builtIn.flatMap(({ where, rules }) => rules.map((rule) => `${where} ${rule}`));
}

async function chainsIn(node: NetworkNamespace) {
  const chains = [];
  for (const command of commands) {
    for (const [chain, { policy, rules }] of parseListing(await node.run(`${command}-nft-save`))) {
      const [table = "", name = ""] = chain.split(" ");
      chains.push({ table, name, rules, policy, where: `${command} ${chain}` });
    }
  }
  return chains;
}

/** Decides without the code under test: the name is like ours and not in the foreign listing. */
function isOurs(table: string, name: string): boolean {
  return name.startsWith("KUBE-") && !foreignChains.has(`${table} ${name}`);
}

const foreignChains = new Set(parseListing(listings.iptables).keys());

/** The jump to KUBE-FIREWALL is kubelet's and ours. */
function isOurJump(table: string, rule: string): boolean {
  const target = /-j (\S+)$/.exec(rule)?.[1] ?? "";
  return isOurs(table, target) || rule === "-j KUBE-FIREWALL";
}

async function ourChains(node: NetworkNamespace): Promise<readonly string[]> {
  return (await chainsIn(node)).filter(({ table, name }) => isOurs(table, name))
    .map(({ table, name }) => `${table} ${name}`);
}

async function chainsLike(
  node: NetworkNamespace,
  command: string,
  pattern: string,
): Promise<readonly string[]> {
  const chains = await node.run(`${command}-nft`, "-t", "nat", "-S");
  return chains.split("\n").filter((line) => line.startsWith("-N ") && new RegExp(pattern).test(line))
    .map((line) => line.slice(3));
}

/** Rules of a chain of table nat, IPv4. */
async function rulesOf(node: NetworkNamespace, chain: string): Promise<readonly string[]> {
  const text = await node.run("iptables-nft", "-t", "nat", "-S", chain);
  return text.split("\n").filter((line) => line.startsWith("-A"));
}
