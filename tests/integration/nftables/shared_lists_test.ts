import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { tablesIn } from "./support/listing.ts";

/** A service port with so many addresses that they share an endpoint list. */
function wide(portName: string, port: number) {
  return planOf({ portName, externalIPs: Array.from({ length: 9 }, (_, n) => `192.0.2.${n}:${port}`) });
}

for (const [what, neighbours] of [["alone", []], ["beside another port", [wide("dns", 54)]]] as const) {
  Deno.test(`a service port whose addresses share a list gets another number, ${what}`, async () => {
    await using node = await NetworkNamespace.make();
    await using fresh = await NetworkNamespace.make();
    await using changing = new BackendProcess("nftables", node);
    await using programmed = new BackendProcess("nftables", fresh);
    const [old, next] = [wide("http", 53), wide("http", 8080)];
    await changing.reconcile([old, ...neighbours]);
    await changing.apply([{ key: old.key, old, new: next }]);
    await programmed.reconcile([next, ...neighbours]);
    assert.deepEqual(await tablesIn(node), await tablesIn(fresh));
  });
}
