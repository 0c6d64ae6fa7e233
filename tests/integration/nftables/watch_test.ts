import assert from "node:assert/strict";
import { everyKindOfPlan } from "../../backends/everything.ts";
import { planOf } from "../../backends/plans.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { listingOf } from "./support/listing.ts";

const plan = planOf({ clusterIP: "10.96.0.20:80" });
const other = planOf({ clusterIP: "10.96.0.20:80", endpoints: ["10.1.0.1:8080", "10.1.0.2:8080"] });

Deno.test("each foreign transaction that changes our tables is reported once, with the process that made it", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.watch();
  await backend.reconcile(everyKindOfPlan);

  await node.run("nft", "add", "table", "inet", "firewall");
  await node.run("nft", "add", "rule", "ip", "kube-proxy", "services", "counter");
  await backend.untilReported(1);
  assert.match(backend.foreignChanges[0] ?? "", /^table ip kube-proxy changed by nft \(pid \d+\)$/);

  await node.run("nft", "flush", "ruleset");
  await backend.untilReported(2);
  assert.match(
    backend.foreignChanges[1] ?? "",
    /^table ip kube-proxy deleted, table ip6 kube-proxy deleted by nft \(pid \d+\)$/,
  );
  assert.equal((await backend.reconcile(everyKindOfPlan)).found, "nothing");
  assert.match(await listingOf(node, "ip"), /chain services/);
});

Deno.test("our own changes are not reported", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("nftables", node);
  await backend.reconcile([]);
  await backend.watch();
  await backend.apply([{ key: plan.key, old: undefined, new: plan }]);
  await backend.apply([{ key: plan.key, old: plan, new: other }]);
  await backend.reconcile([other]);
  await node.run("nft", "delete", "table", "ip6", "kube-proxy");
  await backend.untilReported(1);
  assert.match(backend.foreignChanges.join(), /^table ip6 kube-proxy deleted by nft/);
});

Deno.test("nothing is reported after the end of the watch, and the process can exit", async () => {
  await using node = await NetworkNamespace.make();
  const backend = new BackendProcess("nftables", node);
  await backend.reconcile([]);
  await backend.watch();
  await backend.unwatch();
  await node.run("nft", "flush", "ruleset");
  await backend.probe();
  assert.deepEqual(backend.foreignChanges, []);

  await backend.watch();
  const started = performance.now();
  await backend[Symbol.asyncDispose]();
  assert.ok(performance.now() - started < 500);
});
