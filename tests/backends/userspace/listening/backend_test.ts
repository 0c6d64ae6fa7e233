import assert from "node:assert/strict";
import { ListeningBackend } from "../../../../backends/userspace/listening/backend.ts";
import { parseCidr } from "../../../../core/net/address.ts";
import { desiredOf, planOf, settingsOf } from "../../plans.ts";
import type { StartRelay } from "../../../../backends/userspace/relay_handle.ts";
import { until } from "../../../integration/userspace/support/until.ts";
import { FakeRelay, userspaceOptions } from "../fake_relay.ts";

const web = planOf({ clusterIP: "10.96.0.10:80" });
const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });

/** Starts a relay whose listeners fail with a reason, attempt by attempt. */
function failingRelay(
  ...reasons: readonly string[]
): { readonly start: StartRelay; readonly attempts: () => number } {
  let attempts = 0;
  const start: StartRelay = async (settings, observer) => {
    const relays: FakeRelay[] = [];
    const relay = await FakeRelay.starter(relays)(settings, observer);
    const [fake] = relays;
    assert(fake !== undefined);
    fake.failed = (services) => {
      const reason = reasons[attempts++];
      return reason === undefined
        ? []
        : services.flatMap(({ key, frontends }) =>
          frontends.flatMap(({ kind, listen }) =>
            listen === undefined ? [] : { key, kind, ...listen, reason }
          )
        );
    };
    return relay;
  };
  return { start, attempts: () => attempts };
}

Deno.test("a node port that could not be opened is told once, and tried again until it can be", async () => {
  const nodePort = planOf({ nodePort: 30080 });
  const { start, attempts } = failingRelay("EADDRINUSE", "EADDRINUSE", "EADDRINUSE", "EACCES", "EACCES");
  const warnings: string[] = [];
  using backend = new ListeningBackend({ ...userspaceOptions, hasRules: false }, start, 1);
  backend.logTo({ warn: (message) => warnings.push(message) });
  const report = await backend.reconcile(desiredOf([nodePort], [settingsOf("IPv4")]));
  const told = (reason: string) => `default/web:http is not served completely, and is tried again: ${reason}`;
  assert.deepEqual(report.warnings, [told("EADDRINUSE")]);
  assert.deepEqual(backend.unservedNodePorts(9), {
    total: 1,
    first: [{ servicePort: "default/web:http", port: 30080, reason: "EADDRINUSE" }],
  });
  await until(() => backend.unservedNodePorts(9).total === 0);
  assert.deepEqual(warnings, [told("EACCES")]);
  assert.equal(attempts(), 6);
});

Deno.test("what cannot be opened is tried again only while it is wanted, and while the process does not end", async () => {
  const nodePort = planOf({ nodePort: 30080 });
  const { start, attempts } = failingRelay(...Array<string>(1000).fill("EADDRINUSE"));
  using backend = new ListeningBackend({ ...userspaceOptions, hasRules: false }, start, 1);
  await backend.reconcile(desiredOf([nodePort], [settingsOf("IPv4")]));
  await until(() => attempts() > 2);
  await backend.apply([{ key: nodePort.key, old: nodePort, new: undefined }]);
  assert.equal(backend.unservedNodePorts(9).total, 0);
  await staysThe(attempts);
  await backend.apply([{ key: nodePort.key, old: undefined, new: nodePort }]);
  const before = attempts();
  await until(() => attempts() > before + 1);
  await backend.drain(false);
  await staysThe(attempts);
});

/** Asserts that a number stays the same for many times as long as until the next attempt. */
async function staysThe(value: () => number): Promise<void> {
  const before = value();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(value(), before);
}

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
