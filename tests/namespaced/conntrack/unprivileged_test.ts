import assert from "node:assert/strict";
import { ConntrackReconciler } from "../../../backends/conntrack/reconciler.ts";
import type { Log } from "../../../core/observe/log.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";

/** Run by conntrack_test.ts without CAP_NET_ADMIN. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

Deno.test("it warns once, names the missing capability, and is disabled", keepsLibraries, async () => {
  const warnings: string[] = [];
  const log: Log = {
    error: () => assert.fail(),
    warn: (message, fields) => warnings.push(`${message}: ${fields?.["error"]}`),
    info() {},
  };
  const observer = { conntrackReconciled: () => assert.fail(), conntrackFailed: () => assert.fail() };
  const reconciler = new ConntrackReconciler({
    log,
    nodeAddresses: () => [],
    relaySockets: () => [],
    observer,
  });
  const desired = desiredOf([planOf({ protocol: "UDP", clusterIP: "10.96.0.10:53" })]);
  for (let sync = 0; sync < 2; sync++) {
    reconciler.synced({ desired, changes: [], full: true });
    await reconciler.idle();
  }
  assert.equal(warnings.length, 1);
  assert.match(warnings.join(), /not removed.*EPERM.*lacks CAP_NET_ADMIN.*docs\/operations\.md#privileges/);
});
