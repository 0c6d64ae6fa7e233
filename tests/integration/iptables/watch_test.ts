import assert from "node:assert/strict";
import { serviceChain } from "../../backends/iptables/support/chain_names.ts";
import { planOf, settingsOf } from "../../backends/plans.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
const webOf2 = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
const chain = serviceChain("KUBE-SVC-", web);
const settings = [settingsOf("IPv4", { localhostNodePorts: true }), settingsOf("IPv6")];

Deno.test("each foreign transaction that changes our chains is reported once, with its process", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.watch();
  await node.run("iptables-nft", "-A", "INPUT", "-j", "ACCEPT");
  await backend.reconcile([web], settings);
  const iptables = (...args: readonly string[]) => node.run("iptables-nft", ...args);
  const reports: readonly (readonly [change: () => Promise<unknown>, report: RegExp])[] = [
    [
      () => iptables("-t", "nat", "-I", chain, "-j", "RETURN"),
      new RegExp(`^chain ${chain} of table ip nat changed by iptables-nft \\(pid \\d+\\)$`),
    ],
    [
      () => iptables("-t", "nat", "-F", "PREROUTING"),
      /^the jump from PREROUTING to KUBE-SERVICES of table ip nat was deleted by iptables-nft \(pid \d+\)$/,
    ],
    [
      () => iptables("-F", "KUBE-FIREWALL"),
      /^our rule of chain KUBE-FIREWALL of table ip filter was deleted by iptables-nft \(pid \d+\)$/,
    ],
    [
      () => node.run("nft", "delete", "table", "ip6", "mangle"),
      /^(chain KUBE-PROXY-CANARY of table ip6 mangle, )?table ip6 mangle changed by nft \(pid \d+\)$/,
    ],
    [
      () => node.run("nft", "flush", "ruleset"),
      /^chain KUBE-\S+ of table ip filter, .* and \d+ more changed by nft \(pid \d+\)$/,
    ],
  ];
  for (const [index, [change, report]] of reports.entries()) {
    await change();
    await backend.untilReported(index + 1);
    assert.match(backend.foreignChanges[index] ?? "", report);
    await backend.reconcile([web], settings);
  }
  assert.equal(backend.foreignChanges.length, reports.length);
});

Deno.test("our changes and foreign changes of foreign rules are not reported", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([]);
  await backend.watch();
  await backend.apply([{ key: web.key, old: undefined, new: web }]);
  await backend.apply([{ key: web.key, old: web, new: webOf2 }]);
  await backend.reconcile([web]);
  await node.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-j", "RETURN");
  await node.run("iptables-nft", "-t", "nat", "-D", "PREROUTING", "-j", "RETURN");
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  await node.run("iptables-nft", "-t", "nat", "-F", "KUBE-MARK-MASQ");
  await backend.untilReported(1);
  assert.match(
    backend.foreignChanges.join(),
    /^chain KUBE-MARK-MASQ of table ip nat changed by iptables-nft/,
  );
});
