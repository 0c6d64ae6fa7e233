import assert from "node:assert/strict";
import { ListeningBackend } from "../../../../backends/userspace/listening/backend.ts";
import { parseAddress, parseCidr } from "../../../../core/net/address.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { desiredOf, planOf, settingsOf } from "../../plans.ts";
import { FakeRelay, userspaceOptions } from "../fake_relay.ts";

const web = planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080 });
const thief = planOf({ name: "thief", clusterIP: "10.97.0.10:80" });
const idle = planOf({ name: "idle", clusterIP: "10.96.0.11:80", internal: "reject", endpoints: [] });

/** A backend with a hosts file, in force with these plans. */
async function serving(...plans: readonly ServicePortPlan[]) {
  const directory = Deno.makeTempDirSync({ prefix: "loopback-" });
  const hostsFile = `${directory}/hosts`;
  const relays: FakeRelay[] = [];
  const loopback = parseCidr("127.64.0.0/16");
  const options = { ...userspaceOptions, hasRules: false, loopback, hostsFile };
  const backend = new ListeningBackend(options, FakeRelay.starter(relays));
  const { warnings = [] } = await backend.reconcile(desiredOf(plans, [settingsOf("IPv4")]));
  const [relay] = relays;
  assert(relay !== undefined);
  return {
    backend,
    relay,
    warnings,
    hostsFile,
    /** The names in the hosts file: `127.64.0.10 web.default`. */
    names: () =>
      Deno.readTextFileSync(hostsFile).trimEnd().split("\n").slice(1).map((line) =>
        line.replace(/\t.* /, " ")
      ),
    [Symbol.dispose]: () => {
      backend[Symbol.dispose]();
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

Deno.test("a Service whose loopback address is taken gets no listener, and takes the address over", async () => {
  using test = await serving(web, thief);
  const { backend, relay } = test;
  assert.match(test.warnings.join(), /^default\/thief .*127\.64\.0\.10 is the address of default\/web /);
  assert.deepEqual([...relay.services.keys()], [web.key]);
  assert.deepEqual(test.names(), ["127.64.0.10 web.default"]);
  assert.deepEqual(backend.loopbackState(9)?.notServed, {
    total: 1,
    first: [{
      service: "default/thief",
      clusterIP: "10.97.0.10",
      reason: "127.64.0.10 is the address of default/web (10.96.0.10), which ends in the same bits",
    }],
  });
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  assert.deepEqual([...relay.services.keys()], [thief.key]);
  assert.deepEqual(test.names(), ["127.64.0.10 thief.default"]);
  assert.equal(backend.loopbackState(9)?.notServed.total, 0);
});

Deno.test("a Service without endpoints has no line until it has some", async () => {
  using test = await serving(web, idle);
  assert.deepEqual(test.names(), ["127.64.0.10 web.default"]);
  assert.match(JSON.stringify(test.backend.loopbackState(9)), /port 80\/TCP has no endpoints/);
  const ready = planOf({ name: "idle", clusterIP: "10.96.0.11:80" });
  await test.backend.apply([{ key: idle.key, old: idle, new: ready }]);
  assert.deepEqual(test.names(), ["127.64.0.10 web.default", "127.64.0.11 idle.default"]);
});

Deno.test("a Service whose port cannot be opened has no line, and the status has the reason", async () => {
  using test = await serving(web);
  const [loopback, everywhere] = [parseAddress("127.64.0.10"), parseAddress("0.0.0.0")];
  assert(loopback !== undefined && everywhere !== undefined);
  const failure = { key: web.key, port: 80, reason: "listen on 127.64.0.10:80/TCP: EACCES" };
  test.relay.failed = () => [{ ...failure, kind: "ClusterIP", address: loopback }];
  await test.backend.apply([{ key: web.key, old: web, new: web }]);
  assert.deepEqual(test.names(), []);
  assert.deepEqual(test.backend.loopbackState(9)?.notServed.first.map(({ reason }) => reason), [
    failure.reason,
  ]);
  // The ClusterIP is served if only the node port cannot be opened.
  test.relay.failed = () => [{ ...failure, kind: "NodePort", address: everywhere }];
  await test.backend.apply([{ key: web.key, old: web, new: web }]);
  assert.deepEqual(test.names(), ["127.64.0.10 web.default"]);
});

Deno.test("a change of endpoints does not write the hosts file again", async () => {
  using test = await serving(web);
  const before = Deno.statSync(test.hostsFile).ino;
  const changed = planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080, endpoints: ["10.1.0.9:80"] });
  await test.backend.apply([{ key: web.key, old: web, new: changed }]);
  assert.equal(Deno.statSync(test.hostsFile).ino, before);
});

Deno.test("a hosts file that cannot be written any more does not stop services, and is tried again", async () => {
  using test = await serving(web);
  Deno.writeTextFileSync(test.hostsFile, "127.0.0.1 foreign\n");
  const other = planOf({ name: "other", clusterIP: "10.96.0.12:80" });
  const added = [{ key: other.key, old: undefined, new: other }];
  const [warning, ...more] = await test.backend.apply(added);
  assert.match(warning ?? "", /^cannot write the hosts file .* proxy has not written it/);
  assert.deepEqual(more, []);
  assert.ok(test.relay.services.has(other.key));
  assert.equal(test.backend.loopbackState(9)?.hostsFileProblem, warning);
  assert.deepEqual(await test.backend.apply([{ key: web.key, old: web, new: web }]), []);
  Deno.removeSync(test.hostsFile);
  await test.backend.apply([{ key: web.key, old: web, new: web }]);
  assert.deepEqual(test.names(), ["127.64.0.10 web.default", "127.64.0.12 other.default"]);
  assert.equal(test.backend.loopbackState(9)?.hostsFileProblem, undefined);
});

Deno.test("the status counts all Services and has the first ones", async () => {
  using test = await serving(web, planOf({ name: "other", clusterIP: "10.96.0.12:53", protocol: "UDP" }));
  assert.deepEqual(test.backend.loopbackState(1), {
    range: "127.64.0.0/16",
    hostsFile: test.hostsFile,
    served: {
      total: 2,
      first: [{ service: "default/web", clusterIP: "10.96.0.10", address: "127.64.0.10", ports: ["80/TCP"] }],
    },
    notServed: { total: 0, first: [] },
  });
});
