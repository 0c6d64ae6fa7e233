import assert from "node:assert/strict";
import { Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { parseListing } from "./support/listing.ts";
import { restore } from "./support/saved_rules.ts";

/** Host ports of the portmap plugin and of kubenet, and an administrator's rule. They use kube-proxy's mark. */
const hostPorts = `
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-0123456789abcdef01234 - [0:0]
:KUBE-HOSTPORTS - [0:0]
:KUBE-HP-2MUE7BXTV56FM567 - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -m comment --comment "kube hostport portals" -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-A PREROUTING -d 192.0.2.1/32 -j KUBE-MARK-MASQ
-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 9443 -j CNI-DN-0123456789abcdef01234
-A CNI-DN-0123456789abcdef01234 -s 10.244.1.0/24 -p tcp -m tcp --dport 9443 -j KUBE-MARK-MASQ
-A CNI-DN-0123456789abcdef01234 -p tcp -m tcp --dport 9443 -j DNAT --to-destination 10.244.1.11:8080
-A KUBE-HOSTPORTS -p tcp -m comment --comment "pod_default hostport 3000" -m tcp --dport 3000 -j KUBE-HP-2MUE7BXTV56FM567
-A KUBE-HP-2MUE7BXTV56FM567 -s 10.244.1.12/32 -m comment --comment "pod_default hostport 3000" -j KUBE-MARK-MASQ
-A KUBE-HP-2MUE7BXTV56FM567 -p tcp -m comment --comment "pod_default hostport 3000" -m tcp -j DNAT --to-destination 10.244.1.12:8080
COMMIT
`;

/** Chains of kube-proxy 1.20 to 1.25 that later versions do not have, in modes iptables, ipvs and userspace. */
const oldKubeProxy = `
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-LOAD-BALANCER - [0:0]
:KUBE-PORTALS-CONTAINER - [0:0]
:KUBE-PORTALS-HOST - [0:0]
:KUBE-NODEPORT-CONTAINER - [0:0]
:KUBE-NODEPORT-HOST - [0:0]
:KUBE-FW-XPGD46QRK7WJZT7O - [0:0]
:KUBE-XLB-XPGD46QRK7WJZT7O - [0:0]
:KUBE-SVC-XPGD46QRK7WJZT7O - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A PREROUTING -j KUBE-PORTALS-CONTAINER
-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-NODEPORT-CONTAINER
-A OUTPUT -j KUBE-SERVICES
-A OUTPUT -j KUBE-PORTALS-HOST
-A OUTPUT -m addrtype --dst-type LOCAL -j KUBE-NODEPORT-HOST
-A KUBE-SERVICES -d 203.0.113.1/32 -p tcp -m tcp --dport 80 -j KUBE-FW-XPGD46QRK7WJZT7O
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-FW-XPGD46QRK7WJZT7O -j KUBE-XLB-XPGD46QRK7WJZT7O
-A KUBE-FW-XPGD46QRK7WJZT7O -j KUBE-MARK-DROP
-A KUBE-XLB-XPGD46QRK7WJZT7O -s 10.244.0.0/16 -j KUBE-SVC-XPGD46QRK7WJZT7O
-A KUBE-XLB-XPGD46QRK7WJZT7O -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-LOAD-BALANCER -j KUBE-FIREWALL
-A KUBE-FIREWALL -j KUBE-MARK-DROP
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-NODEPORT-NON-LOCAL - [0:0]
-A INPUT -m comment --comment "Ensure that non-local NodePort traffic can flow" -j KUBE-NODEPORT-NON-LOCAL
COMMIT
`;

const stays = "KUBE-MARK-MASQ";

/** Rules by chain, without chains that have none. */
async function rules(node: NetworkNamespace): Promise<Record<string, readonly string[]>> {
  const chains = [...parseListing(await node.run("iptables-nft-save"))];
  return Object.fromEntries(
    chains.filter(([, { rules }]) => rules.length > 0).map(([name, { rules }]) => [name, rules]),
  );
}

async function chains(node: NetworkNamespace): Promise<readonly string[]> {
  const builtIn = /^\S+ (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/;
  return [...parseListing(await node.run("iptables-nft-save"))].map(([name]) => name)
    .filter((name) => !builtIn.test(name)).sort();
}

Deno.test("--cleanup beside foreign jumps removes all but the chain that they need, and names it and them", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await restore(node.namespace, "iptables", hostPorts);
  const [rulesBefore, chainsBefore] = [await rules(node.namespace), await chains(node.namespace)];
  {
    await using proxy = node.start("--proxy-mode=iptables");
    await proxy.inForce();
    assert.notDeepEqual(await chains(node.namespace), chainsBefore);
  }
  for (const _time of [1, 2]) {
    const { code, stderr } = await node.run(["--cleanup"]);
    assert.equal(code, 1);
    assert.match(stderr, /"Removed all rules" mode="nftables"/);
    assert.doesNotMatch(stderr, /"Removed all rules" mode="iptables"/);
    const said = stderr.split("\n").find((line) => line.includes(stays)) ?? "";
    assert.match(said, /^E.*"Removed all rules, except what other programs use" mode="iptables"/);
    assert.match(
      said,
      /chain KUBE-MARK-MASQ of table ip nat, to which rules of the chains CNI-DN-\S+, KUBE-HP-\S+ and PREROUTING jump/,
    );
    assert.deepEqual(await rules(node.namespace), rulesBefore);
    assert.deepEqual(await chains(node.namespace), chainsBefore);
  }
  await using proxy = node.start();
  await proxy.logs(/^W.*"No rules of another mode remain, except what other programs use".*KUBE-MARK-MASQ/m);
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
  assert.deepEqual(await rules(node.namespace), rulesBefore);
  await proxy.end();

  await node.namespace.run("nft", "flush", "table", "ip", "nat");
  const { code, stderr } = await node.run(["--cleanup"]);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch((await chains(node.namespace)).join(), /KUBE-MARK/);
});

Deno.test("a cleanup removes the chains of old versions of kube-proxy in all modes", async () => {
  await using node = await NetworkNamespace.make();
  for (const command of ["iptables", "ip6tables"] as const) {
    const rules = command === "iptables"
      ? oldKubeProxy
      : oldKubeProxy.replaceAll("203.0.113.1/32", "2001:db8::1/128").replaceAll(
        "10.244.0.0/16",
        "fd00:244::/64",
      );
    await restore(node, command, rules);
  }
  await using backend = new BackendProcess("iptables", node);
  await backend.cleanup();
  assert.doesNotMatch(await node.run("nft", "list", "ruleset"), /KUBE/);
});

Deno.test("a start in mode iptables removes the chains of old versions, and the jumps to them", async () => {
  await using node = await NetworkNamespace.make();
  await restore(node, "iptables", oldKubeProxy);
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([]);
  const left = await node.run("iptables-nft-save");
  assert.doesNotMatch(left, /KUBE-(XLB|PORTALS|NODEPORT-|LOAD|FW)/);
  assert.doesNotMatch(left, /:KUBE-FIREWALL .*\n(?=[^*]*-A KUBE-FIREWALL -j KUBE-MARK-DROP)/);
});

Deno.test("kubelet's chains stay with a sign of kubelet, and more than twenty held chains are no obstacle", async () => {
  await using node = await NetworkNamespace.make();
  const held = Array.from(
    { length: 25 },
    (_, index) => `KUBE-SEP-AAAAAAAAAAAAAA${"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]}A`,
  );
  const lines = [
    "*nat",
    ":KUBE-KUBELET-CANARY - [0:0]",
    ":KUBE-MARK-DROP - [0:0]",
    ":KUBE-SERVICES - [0:0]",
    ":MINE - [0:0]",
    ...held.map((chain) => `:${chain} - [0:0]`),
    "-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000",
    ...held.map((chain) => `-A MINE -j ${chain}`),
    "COMMIT",
    "",
  ];
  await restore(node, "iptables", lines.join("\n"));
  await using backend = new BackendProcess("iptables", node);
  const { message } = await rejectionBy(() => backend.cleanup());
  assert.match(
    message,
    /KUBE-SEP-AAAAAAAAAAAAAAAA of table ip nat, to which rules of chain MINE jump; .*; 5 more/,
  );
  const left = await chains(node);
  assert.deepEqual(
    left,
    ["nat KUBE-KUBELET-CANARY", "nat KUBE-MARK-DROP", ...held.map((name) => `nat ${name}`), "nat MINE"]
      .sort(),
  );
});
