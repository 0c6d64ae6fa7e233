import assert from "node:assert/strict";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import type { Comparison, Transaction } from "../../../core/backend/contract.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { deviceAddresses, savedServers } from "./listings.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and a scheduled poll does not keep it alive.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const web = planOf({
  clusterIP: "10.96.0.10:80",
  endpoints: ["10.1.0.1:8080", "10.1.0.2:8080 weight 3"],
  affinitySeconds: 10_800,
});
const inIPv6 = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });
const empty = planOf({ name: "empty", clusterIP: "10.96.0.11:53", endpoints: [] });
const desired = desiredOf([web, inIPv6, empty]);
// A scheduler with flags, which ipvsadm writes by other names than the text has.
const options = { ...defaultOptions, scheduler: "mh" };

/** Gives a text to the command that `render` names. */
async function feed(command: string, text: string): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, text);
    await run("sh", "-c", `${command} < ${path}`);
  } finally {
    await Deno.remove(path);
  }
}

function changesIn({ added, changed, removed }: Comparison): readonly string[] {
  return [
    ...added.map((one) => `+ ${one}`),
    ...changed.map((one) => `~ ${one}`),
    ...removed.map((one) => `- ${one}`),
  ];
}

Deno.test("ipvsadm, ip and nft make of the text what a start makes", keepsLibraries, async () => {
  using backend = new IpvsBackend(options);
  const transactions: Transaction[] = [];
  backend.observeTransactions({ transactionEnded: (transaction) => transactions.push(transaction) });
  await backend.reconcile(desired);
  assert.ok(transactions.length > 0 && transactions.every(({ committed }) => committed));
  const [servers, addresses] = [await savedServers(), await deviceAddresses()];
  assert.ok(servers.length >= 6, servers.join("\n"));
  await backend.cleanup();
  assert.deepEqual(await savedServers(), []);
  using renderer = new IpvsBackend(options);
  for (const { command, text } of renderer.nativeText(desired)) await feed(command, text);
  assert.deepEqual(await savedServers(), servers);
  assert.deepEqual(await deviceAddresses(), addresses);
  using reader = new IpvsBackend(options);
  const comparison = await reader.compare(desired);
  assert.equal(comparison.found, "ours");
  // nft 1.0.6 adds an instruction without effect to the rule of source ranges.
  const others = changesIn(comparison).filter((line) => !/^~ rules of chain firewall-check of /.test(line));
  assert.deepEqual(others, []);
});

Deno.test("a comparison names what a start would change, and changes nothing", keepsLibraries, async () => {
  using backend = new IpvsBackend(options);
  await backend.cleanup();
  const nothing = await backend.compare(desired);
  assert.equal(nothing.found, "nothing");
  assert.ok(nothing.added.length > 0 && nothing.changed.length === 0 && nothing.removed.length === 0);
  assert.deepEqual(await savedServers(), []);
  await backend.reconcile(desired);
  await run("ipvsadm", "-d", "-t", "10.96.0.10:80", "-r", "10.1.0.1:8080");
  await run("ipvsadm", "-e", "-t", "10.96.0.10:80", "-r", "10.1.0.2:8080", "-m", "-w", "7");
  await run("ip", "address", "delete", "10.96.0.11/32", "dev", "kube-ipvs0");
  const before = [await savedServers(), await deviceAddresses()];
  using reader = new IpvsBackend(options);
  const found = changesIn(await reader.compare(desired)).join("\n");
  for (const [name, sign] of [["10.1.0.1:8080", "+"], ["10.1.0.2:8080", "~"], ["10.96.0.11", "+"]]) {
    assert.ok(
      found.split("\n").some((line) => line.startsWith(`${sign} `) && line.includes(`${name}`)),
      found,
    );
  }
  assert.deepEqual([await savedServers(), await deviceAddresses()], before);
});
