import assert from "node:assert/strict";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { UserspaceBackend } from "../../../backends/userspace/backend.ts";
import type { RelayReport, ServiceCounters } from "../../../backends/userspace/relay/messages.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { emptyKernel, isBatch, nftType } from "../nf_tables/fake_kernel.ts";
import { addressOf, desiredOf, planOf, settingsOf } from "../plans.ts";
import { FakeRelay, userspaceOptions } from "./fake_relay.ts";

const settings = settingsOf("IPv4", { interfaceAddresses: [addressOf("192.168.7.1")], nodePorts: [] });
const web = planOf({ clusterIP: "10.96.0.10:80" });
const changed = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:80"] });
const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });
const empty = planOf({ clusterIP: "10.96.0.10:80", endpoints: [], internal: "reject" });

function start(rejects: (message: NetlinkMessage) => string | undefined = () => undefined) {
  const relays: FakeRelay[] = [];
  const calls: string[] = [];
  const answer = emptyKernel(rejects);
  const open = () =>
    new FakeTransport((sent) => {
      if (isBatch(sent)) calls.push("rules");
      return answer(sent);
    });
  const startRelay = FakeRelay.starter(relays, (call) => calls.push(call));
  const backend = withBackendErrors(new UserspaceBackend(userspaceOptions, startRelay, open));
  return { backend, relays, calls };
}

const change = (old: ServicePortPlan | undefined, next: ServicePortPlan | undefined) => ({
  key: (next ?? old)!.key,
  old,
  new: next,
});

Deno.test("the relay knows a service before rules lead to it, and forgets it after they are gone", async () => {
  const { backend, calls } = start();
  await backend.reconcile(desiredOf([web], [settings]));
  assert.deepEqual(calls.splice(0), ["replace 1", `know ${web.key}`, "rules"]);
  await backend.apply([change(undefined, other)]);
  assert.deepEqual(calls.splice(0), [`know ${other.key}`, "rules"]);
  await backend.apply([change(web, empty), change(other, undefined)]);
  assert.deepEqual(calls.splice(0), ["rules", `forget ${web.key}`, `forget ${other.key}`]);
});

Deno.test("other endpoints change no rule", async () => {
  const { backend, calls } = start();
  await backend.reconcile(desiredOf([web], [settings]));
  calls.length = 0;
  await backend.apply([change(web, changed)]);
  assert.deepEqual(calls, [`know ${web.key}`]);
});

Deno.test("what the kernel rejects, the relay has as before", async () => {
  let isRejecting = false;
  const { backend, relays } = start(({ type }) =>
    isRejecting && type === nftType(nft.NFT_MSG_NEWSETELEM) ? "ENOMEM" : undefined
  );
  await backend.reconcile(desiredOf([web], [settings]));
  const before = new Map(relays[0]?.services);
  isRejecting = true;
  await assert.rejects(backend.apply([change(web, changed), change(undefined, other)]), BackendError);
  assert.deepEqual(new Map(relays[0]?.services), before);
});

Deno.test("the relay gets the mark of its packets, the limits and a listener per side and protocol", async () => {
  const { backend, relays } = start();
  await backend.reconcile(desiredOf([web], [settings]));
  const { mark, udpIdleMs, maxConnections, maxUdpFlows, sharedListeners } = relays[0]!.settings;
  assert.deepEqual(
    [mark, udpIdleMs, maxConnections, maxUdpFlows],
    [settings.masqueradeMark, 300, 1000, 100],
  );
  assert.deepEqual(sharedListeners.map(({ family, protocol, side }) => `${family} ${protocol} ${side}`), [
    "IPv4 TCP inside",
    "IPv4 UDP inside",
    "IPv4 TCP outside",
    "IPv4 UDP outside",
  ]);
  assert.deepEqual(
    new Set(backend.relaySockets?.().map(({ address }) => address)),
    new Set([addressOf("192.168.7.1")]),
  );
});

Deno.test("a relay that ends is reported, and the next reconcile starts another one", async () => {
  const { backend, relays } = start();
  await backend.reconcile(desiredOf([web], [settings]));
  const reported: string[] = [];
  using _watch = backend.watch((what) => reported.push(what));
  relays[0]?.observer.failed(new Error("the relay has ended: out of memory"));
  assert.deepEqual(reported, ["the relay has ended: out of memory"]);
  await assert.rejects(backend.apply([change(web, changed)]), BackendError);
  await backend.reconcile(desiredOf([web], [settings]));
  assert.equal(relays.length, 2);
  assert.deepEqual([...relays[1]!.services.keys()], [web.key]);
});

Deno.test("the relay's counters are metrics", async () => {
  const { backend, relays } = start();
  assert.deepEqual(await backend.metrics?.(), []);
  await backend.reconcile(desiredOf([web], [settings]));
  const counters = (retries: number): ServiceCounters => ({
    key: web.key,
    connections: 10,
    open: 2,
    retries,
    failures: 1,
    refused: 0,
    bytesToEndpoints: 0,
    bytesToClients: 0,
  });
  const report: RelayReport = {
    services: [counters(3), { ...counters(4), key: other.key }],
    openConnections: 5,
    udpFlows: 6,
    avoidedEndpoints: [{ address: addressOf("10.1.0.1"), port: 80, protocol: "TCP", remainingMs: 1 }],
  };
  relays[0]!.current = report;
  const metrics = new Map((await backend.metrics?.())?.map(({ name, samples }) => [name, samples[0]?.value]));
  assert.deepEqual(Object.fromEntries(metrics), {
    userspace_retries_total: 7,
    userspace_failed_connections_total: 2,
    userspace_refused_connections_total: 0,
    userspace_open_connections: 5,
    userspace_udp_flows: 6,
    userspace_avoided_endpoints: 1,
  });
  // A service that is gone keeps its share of the sums.
  relays[0]!.current = { ...report, services: [] };
  assert.deepEqual(await backend.relayState?.(), {
    openConnections: 5,
    udpFlows: 6,
    retries: 7,
    failures: 2,
    avoidedEndpoints: 1,
  });
});
