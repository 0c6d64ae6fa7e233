import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess, refusalBy } from "../support/backend_process.ts";
import { listingOf, tablesIn } from "./support/listing.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80" });
const thief = planOf({ name: "thief", clusterIP: "10.96.0.10:80" });
const bystander = planOf({ name: "bystander", clusterIP: "10.96.0.11:80" });

Deno.test("a frontend that is taken is refused with the service in words, and nothing of the batch is in force", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([web]);
  const before = await tablesIn(node);
  const refused = await refusalBy(() =>
    backend.apply([
      { key: bystander.key, old: undefined, new: bystander },
      { key: thief.key, old: undefined, new: thief },
    ])
  );
  assert.deepEqual(refused.rejectedKeys, [thief.key]);
  assert.match(
    refused.message,
    /^nftables: add service default\/thief:http \(10\.96\.0\.10:80\/TCP\) to \S+ of table ip kube-proxy: EEXIST/,
  );
  assert.deepEqual(await tablesIn(node), before);

  // What was refused left no trace in what we believe either.
  await backend.apply([{ key: bystander.key, old: undefined, new: bystander }]);
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  await backend.apply([{ key: thief.key, old: undefined, new: thief }]);
});

Deno.test("two plans that claim one frontend are both named by a reconcile", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  const refused = await refusalBy(() => backend.reconcile([web, thief, bystander]));
  assert.deepEqual(refused.rejectedKeys.toSorted(), [web.key, thief.key].toSorted());
  assert.equal(await listingOf(node, "ip"), "");
});

Deno.test("a table that is not as we believe is refused without a culprit, and reported", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([web]);
  await node.run("nft", "delete", "table", "ip", "kube-proxy");
  await backend.watch();
  const refused = await refusalBy(() => backend.apply([{ key: web.key, old: web, new: undefined }]));
  assert.deepEqual(refused.rejectedKeys, []);
  assert.match(refused.message, /ENOENT/);
  assert.match(backend.foreignChanges.join(), /^kernel state differs from what was last programmed/);
});

Deno.test("without CAP_NET_ADMIN every call says so and where to read on", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node, [
    "setpriv",
    "--bounding-set=-net_admin",
    "--inh-caps=-net_admin",
  ]);
  for (const call of [() => backend.reconcile([web]), () => backend.cleanup()]) {
    const refused = await refusalBy(call);
    assert.match(refused.message, /^nftables: .*EPERM.*CAP_NET_ADMIN.*docs\/operations\.md#privileges/);
    assert.deepEqual(refused.rejectedKeys, []);
  }
  const [privilege, ...rest] = await backend.probe();
  assert.equal(privilege?.name, "CAP_NET_ADMIN");
  assert.equal(privilege?.found, false);
  assert.deepEqual(rest, []);
});

Deno.test("probing finds everything here and commits nothing, not even for a moment", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await using watching = new BackendProcess("nftables", node);
  await watching.reconcile([web]);
  await watching.watch();
  const before = await tablesIn(node);
  const missing = (await backend.probe()).filter(({ found }) => !found);
  assert.deepEqual(missing, []);
  assert.deepEqual(await tablesIn(node), before);
  // Whatever the probe had committed would have been reported before this.
  await backend.cleanup();
  while (watching.foreignChanges.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(watching.foreignChanges[0] ?? "", /^table ip kube-proxy deleted by deno/);
});
