import assert from "node:assert/strict";
import { ListeningBackend } from "../../../../backends/userspace/listening/backend.ts";
import { parseCidr } from "../../../../core/net/address.ts";
import { desiredOf, planOf, settingsOf } from "../../plans.ts";
import { FakeRelay, userspaceOptions } from "../fake_relay.ts";

const web = planOf({ clusterIP: "10.96.0.10:80" });
const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });

Deno.test("services reach the relay as changes, and nothing of the kernel is used", async () => {
  const relays: FakeRelay[] = [];
  const options = { ...userspaceOptions, hasRules: false, loopback: parseCidr("127.64.0.0/16") };
  using backend = new ListeningBackend(options, FakeRelay.starter(relays));
  await backend.reconcile(desiredOf([web], [settingsOf("IPv4")]));
  await backend.apply([
    { key: other.key, old: undefined, new: other },
    { key: web.key, old: web, new: undefined },
  ]);
  const [relay] = relays;
  assert.deepEqual(relay?.calls, ["replace 1", `know ${web.key}`, `know ${other.key}`, `forget ${web.key}`]);
  assert.deepEqual(relay?.settings.sharedListeners, []);
  assert.deepEqual(await backend.leftovers(), []);
});
