import assert from "node:assert/strict";
import { serviceChain } from "../../backends/iptables/support/chain_names.ts";
import { planKey } from "../../../core/plan/plan.ts";
import { planOf, type PlanText } from "../../backends/plans.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { mustBeSame, savedRules } from "./support/saved_rules.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
const webOf2 = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
const bystander = planOf({ name: "bystander", clusterIP: "10.96.0.11:80" });
const webChain = serviceChain("KUBE-SVC-", web);

Deno.test("the rejection for a deleted chain names no service and is reported, and a reconcile restores it", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([webOf2, bystander]);
  const expected = await savedRules(node);
  await backend.reconcile([web, bystander]);
  await node.run("iptables-nft", "-t", "nat", "-F", "KUBE-SERVICES");
  await node.run("iptables-nft", "-t", "nat", "-F", webChain);
  await node.run("iptables-nft", "-t", "nat", "-F", serviceChain("KUBE-EXT-", web));
  await node.run("iptables-nft", "-t", "nat", "-X", webChain);
  await backend.watch();
  const rejection = await rejectionBy(() => backend.apply([{ key: web.key, old: web, new: webOf2 }]));
  assert.deepEqual(rejection.rejectedKeys, []);
  assert.match(rejection.message, /^iptables: .* chain KUBE-SVC-\w+ of table ip nat .*: ENOENT/);
  assert.match(backend.foreignChanges.join(), /^kernel state differs from what was last programmed: /);
  assert.notDeepEqual((await backend.reconcile([webOf2, bystander])).differences, []);
  mustBeSame(await savedRules(node), expected);
});

Deno.test("a missing rule that was to be deleted is reported, and the change is made", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([bystander]);
  const expected = await savedRules(node);
  await backend.reconcile([web, bystander]);
  await node.run("iptables-nft", "-t", "nat", "-D", "KUBE-SERVICES", "1");
  await node.run("iptables-nft", "-t", "nat", "-D", "KUBE-SERVICES", "1");
  await backend.watch();
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  assert.deepEqual(backend.foreignChanges, [
    "kernel state differs from what was last programmed: a rule of chain KUBE-SERVICES of table ip nat is missing",
  ]);
  assert.notDeepEqual((await backend.reconcile([bystander])).differences, []);
  mustBeSame(await savedRules(node), expected);
});

Deno.test("a rejection names the service, and nothing of the batch is in force", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([]);
  // The kernel allows no jump to a base chain.
  const hook = "{ type nat hook prerouting priority 0; }";
  await node.run("nft", `add chain ip nat ${webChain} ${hook}`);
  const listing = () => node.run("nft", "list", "ruleset");
  const before = await listing();
  const changes = [bystander, web].map((plan) => ({ key: plan.key, old: undefined, new: plan }));
  const rejection = await rejectionBy(() => backend.apply(changes));
  assert.deepEqual(rejection.rejectedKeys, [web.key]);
  assert.match(
    rejection.message,
    /^iptables: add a rule to chain KUBE-\S+ of table ip nat for service default\/web:http\/TCP\/IPv4: EOPNOTSUPP/,
  );
  assert.ok(await listing() === before);
  await backend.apply(changes.slice(0, 1));
  assert.deepEqual((await rejectionBy(() => backend.reconcile([web, bystander]))).rejectedKeys, [web.key]);
});

Deno.test("the longest possible names are programmed and read back unchanged", async () => {
  const longest = "n".repeat(63);
  const named = (text: PlanText) => {
    const plan = { ...planOf(text), namespace: longest, name: longest, portName: longest };
    return { ...plan, key: planKey(plan) };
  };
  const plans = [
    ["10.96.0.10:65535", "203.0.113.1:65535", "192.168.100.100:65535", "192.168.100.200:65535"],
    [
      "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535",
      "[2001:db81:2222:3333:4444:5555:6666:7777]:65535",
      "[fd00:1111:2222:3333:4444:5555:6666:8888]:65535",
      "[fd00:1111:2222:3333:4444:5555:6666:9999]:65535",
    ],
  ].flatMap(([clusterIP = "", balancer = "", ...endpoints]) =>
    (["TCP", "UDP", "SCTP"] as const).map((protocol) =>
      named({
        protocol,
        clusterIP,
        loadBalancerIPs: [balancer],
        nodePort: 65535,
        external: "local",
        healthCheckNodePort: 65535,
        sourceRanges: clusterIP.startsWith("[") ? ["2001:db8::/32"] : ["192.0.2.0/24"],
        affinitySeconds: 86400,
        endpoints: endpoints.map((endpoint, index) => index === 0 ? `${endpoint}@here` : endpoint),
      })
    )
  );
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile(plans);
  assert.deepEqual(await backend.reconcile(plans), {
    found: "ours",
    differences: [],
    compared: "all",
    warnings: [],
  });
  const name = `${longest}/${longest}:${longest}`;
  const saved = (await savedRules(node)).join("\n");
  const firewall = serviceChain("KUBE-FW-", plans[0]!);
  for (
    const text of [
      `${name} -> [fd00:1111:2222:3333:4444:5555:6666:8888]:65535`,
      `other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`,
      `masquerade LOCAL traffic for ${name} external destinations`,
      `${name} traffic not accepted by ${firewall}`,
    ]
  ) assert.ok(saved.includes(`--comment "${text}"`), text);

  const without = plans.map((plan) => ({ ...plan, clusterEndpoints: plan.clusterEndpoints.slice(1) }));
  await backend.apply(plans.map((old, index) => ({ key: old.key, old, new: without[index] })));
  await backend.apply(without.map((old) => ({ key: old.key, old, new: undefined })));
  assert.ok(!(await savedRules(node)).join().includes(longest));
});

Deno.test("without CAP_NET_ADMIN every call says so and refers to the documentation", async () => {
  await using node = await NetworkNamespace.make();
  const withoutAdmin = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
  await using backend = new BackendProcess("iptables", node, withoutAdmin);
  for (const call of [() => backend.reconcile([web]), () => backend.cleanup()]) {
    const rejection = await rejectionBy(call);
    assert.match(rejection.message, /^iptables: .*EPERM.*CAP_NET_ADMIN.*docs\/operations\.md#privileges/);
    assert.deepEqual(rejection.rejectedKeys, []);
  }
  const [privilege, ...rest] = await backend.probe();
  assert.deepEqual([privilege?.name, privilege?.found, rest], ["CAP_NET_ADMIN", false, []]);
});

Deno.test("probing finds what mode iptables needs and commits nothing, not even for a moment", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  const missing = async () =>
    (await backend.probe()).filter(({ found, severity }) => !found && severity === "required");
  assert.deepEqual(await missing(), []);
  assert.equal(await node.run("nft", "list", "ruleset"), "");

  await using watching = new BackendProcess("iptables", node);
  await watching.reconcile([web]);
  await watching.watch();
  const before = await savedRules(node);
  assert.deepEqual(await missing(), []);
  mustBeSame(await savedRules(node), before);
  // A commit of the probe would have been reported before this.
  await backend.cleanup();
  await watching.untilReported(1);
  assert.match(watching.foreignChanges[0] ?? "", /^chain KUBE-.* changed by deno/);
});
