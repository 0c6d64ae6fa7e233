import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import { Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { isLinux } from "../ebpf/support/kernel_version.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { TableOwner } from "../support/table_owner.ts";
import { listingOf } from "./support/listing.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });

Deno.test("a table that another program owns is explained with that program, not with a missing capability", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  const owner = await TableOwner.of(node, "ip", "kube-proxy");
  const explanation = new RegExp(
    `Table ip kube-proxy belongs to python3 \\(pid ${owner.pid}\\).*Stop that program`,
  );
  for (const call of [() => backend.reconcile([web]), () => backend.cleanup()]) {
    const rejection = await rejectionBy(call);
    assert.match(rejection.message, /^nftables: .*table ip kube-proxy: EPERM/);
    assert.match(rejection.message, explanation);
    assert.doesNotMatch(rejection.message, /CAP_NET_ADMIN/);
    assert.deepEqual(rejection.rejectedKeys, []);
  }
  const missing = (await backend.probe()).filter(({ found }) => !found);
  assert.deepEqual(missing.map(({ name, severity }) => [name, severity]), [
    ["tables without another owner", "recommended"],
  ]);
  assert.match(missing[0]?.detail ?? "", explanation);

  // The table goes with its owner.
  await owner[Symbol.asyncDispose]();
  await backend.reconcile([web]);
  assert.match(await listingOf(node, "ip"), /10\.96\.0\.10/);
});

Deno.test("a cleanup removes the table of the other family, if another program owns one of them", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([web]);
  await node.run("nft", "delete", "table", "ip", "kube-proxy");
  await using _owner = await TableOwner.of(node, "ip", "kube-proxy");
  assert.match(
    (await rejectionBy(() => backend.cleanup())).message,
    /Table ip kube-proxy belongs to python3/,
  );
  assert.equal(await listingOf(node, "ip6"), "");
});

Deno.test("tables of iptables that another program owns are explained, and lack no feature", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await using owner = await TableOwner.of(node, "ip6", "nat");
  const explanation = new RegExp(`Table ip6 nat belongs to python3 \\(pid ${owner.pid}\\)`);
  const rejection = await rejectionBy(() => backend.reconcile([web]));
  assert.match(rejection.message, explanation);
  assert.deepEqual(rejection.rejectedKeys, []);
  const missing = (await backend.probe()).filter(({ found, severity }) => !found && severity !== "optional");
  assert.deepEqual(missing.map(({ name }) => name), ["tables without another owner"]);
  assert.match(missing[0]?.detail ?? "", explanation);
});

Deno.test("a start beside the owner of its table says so, goes on, and programs the table when it is free", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const owner = await TableOwner.of(node.namespace, "ip", "kube-proxy");
  await using proxy = node.start();
  await proxy.logs(/^W.*Table ip kube-proxy belongs to python3/m);
  await proxy.logs(/^E.*EPERM.*Table ip kube-proxy belongs to python3/m);
  const check = await node.run(["check"]);
  assert.equal(check.code, 0);
  assert.match(
    check.stdout,
    /WARNING +nftables +tables without another owner +Table ip kube-proxy belongs to/,
  );
  await owner[Symbol.asyncDispose]();
  await proxy.inForce();
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
});

Deno.test(
  "a table that outlived its owner is taken over and can be removed",
  { ignore: !isLinux(6, 9) },
  async () => {
    await using node = await NetworkNamespace.make();
    await using backend = new BackendProcess("nftables", node);
    const orphan = async () => (await TableOwner.of(node, "ip", "kube-proxy", true))[Symbol.asyncDispose]();
    await orphan();
    await backend.cleanup();
    assert.equal(await listingOf(node, "ip"), "");
    await orphan();
    await backend.reconcile([web]);
    assert.match(await listingOf(node, "ip"), /10\.96\.0\.10/);
  },
);
