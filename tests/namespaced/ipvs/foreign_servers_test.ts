import assert from "node:assert/strict";
import { cleanUpOthers } from "../../../core/commands/cleanup/cleanup.ts";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { cidrOf, desiredOf, planOf } from "../../backends/plans.ts";
import { configOf } from "../../core/config/loaded.ts";
import { RecordingLog } from "../../core/observe/log/recording_log.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { savedServers } from "./listings.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and a scheduled poll does not keep it alive.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080"] });
const ours = ["-A -t 10.96.0.10:80 -s rr", "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1"];
const excluded = ["-A -t 203.0.113.7:443 -s wlc", "-a -t 203.0.113.7:443 -r 10.1.0.9:443 -g -w 5"];
const options = { ...defaultOptions, excludeCidrs: [cidrOf("203.0.113.0/24")] };

Deno.test(
  "virtual servers in excludeCIDRs are ignored, other foreign ones are removed",
  keepsLibraries,
  async () => {
    await addOthers();
    using backend = new IpvsBackend(options);
    const { differences } = await backend.reconcile(desiredOf([web]));
    assert.deepEqual(differences.filter((one) => one.startsWith("remove")), [
      "remove virtual server 198.51.100.7:80/TCP",
    ]);
    assert.deepEqual(await savedServers(), [...ours, ...excluded].sort());
    await backend.cleanup();
    assert.deepEqual(await savedServers(), excluded);
    await run("ipvsadm", "-C");
  },
);

Deno.test("a service in excludeCIDRs is served nevertheless", keepsLibraries, async () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", externalIPs: ["203.0.113.7:443"] });
  using backend = new IpvsBackend(options);
  await backend.reconcile(desiredOf([plan]));
  assert.ok((await savedServers()).includes("-a -t 203.0.113.7:443 -r 10.1.0.1:8080 -m -w 1"));
  await backend.cleanup();
  // Former servers of ours cannot be told from foreign ones.
  assert.ok((await savedServers()).includes("-A -t 203.0.113.7:443 -s rr"));
  await run("ipvsadm", "-C");
});

Deno.test("where mode ipvs was never in force, no virtual server is removed", keepsLibraries, async () => {
  await addOthers();
  const before = await savedServers();
  using backend = new IpvsBackend(defaultOptions);
  await backend.cleanup();
  assert.deepEqual(await savedServers(), before);
  await cleanUpOthers(await configOf("--proxy-mode=nftables"), new RecordingLog());
  assert.deepEqual(await savedServers(), before);
  await run("ipvsadm", "-C");
});

async function addOthers(): Promise<void> {
  await run("ipvsadm", "-A", "-t", "203.0.113.7:443", "-s", "wlc");
  await run("ipvsadm", "-a", "-t", "203.0.113.7:443", "-r", "10.1.0.9:443", "-g", "-w", "5");
  await run("ipvsadm", "-A", "-t", "198.51.100.7:80", "-s", "rr");
}
