import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess, rejectionBy } from "../support/backend_process.ts";
import { listingOf, tablesIn } from "./support/listing.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
const claimant = planOf({ name: "claimant", clusterIP: "10.96.0.10:80" });
const bystander = planOf({ name: "bystander", clusterIP: "10.96.0.11:80" });

Deno.test("the rejection of a claimed frontend names the service, and nothing of the batch is in force", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([web]);
  const before = await tablesIn(node);
  const rejection = await rejectionBy(() =>
    backend.apply([
      { key: bystander.key, old: undefined, new: bystander },
      { key: claimant.key, old: undefined, new: claimant },
    ])
  );
  assert.deepEqual(rejection.rejectedKeys, [claimant.key]);
  assert.match(
    rejection.message,
    /^nftables: add service default\/claimant:http \(10\.96\.0\.10:80\/TCP\) to \S+ of table ip kube-proxy: EEXIST/,
  );
  assert.deepEqual(await tablesIn(node), before);

  // The rejection left no trace in the recorded state either.
  await backend.apply([{ key: bystander.key, old: undefined, new: bystander }]);
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  await backend.apply([{ key: claimant.key, old: undefined, new: claimant }]);
});

Deno.test("a reconcile with two plans for one frontend names both", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  const rejection = await rejectionBy(() => backend.reconcile([web, claimant, bystander]));
  assert.deepEqual(rejection.rejectedKeys.toSorted(), [web.key, claimant.key].toSorted());
  assert.equal(await listingOf(node, "ip"), "");
});

Deno.test("a rejection because the table has drifted names no service, and the drift is reported", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([web]);
  await node.run("nft", "delete", "table", "ip", "kube-proxy");
  await backend.watch();
  const rejection = await rejectionBy(() => backend.apply([{ key: web.key, old: web, new: undefined }]));
  assert.deepEqual(rejection.rejectedKeys, []);
  assert.match(rejection.message, /ENOENT/);
  assert.match(backend.foreignChanges.join(), /^kernel state differs from what was last programmed/);
});

Deno.test("without CAP_NET_ADMIN every call fails with that reason and a link to the documentation", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node, [
    "setpriv",
    "--bounding-set=-net_admin",
    "--inh-caps=-net_admin",
  ]);
  for (const call of [() => backend.reconcile([web]), () => backend.cleanup()]) {
    const rejection = await rejectionBy(call);
    assert.match(rejection.message, /^nftables: .*EPERM.*CAP_NET_ADMIN.*docs\/operations\.md#privileges/);
    assert.deepEqual(rejection.rejectedKeys, []);
  }
  const [privilege, ...rest] = await backend.probe();
  assert.equal(privilege?.name, "CAP_NET_ADMIN");
  assert.equal(privilege?.found, false);
  assert.deepEqual(rest, []);
});

Deno.test("the probe finds all features of this kernel and commits nothing", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await using watching = new BackendProcess("nftables", node);
  await watching.reconcile([web]);
  await watching.watch();
  const before = await tablesIn(node);
  const missing = (await backend.probe()).filter(({ found }) => !found);
  assert.deepEqual(missing, []);
  assert.deepEqual(await tablesIn(node), before);
  // A commit of the probe would have been reported before this.
  await backend.cleanup();
  while (watching.foreignChanges.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(watching.foreignChanges[0] ?? "", /^table ip kube-proxy deleted by deno/);
});

Deno.test("the probe finds a rule that this kernel rejects", async () => {
  await using node = await NetworkNamespace.make();
  await node.runTests("nftables/probe");
});
