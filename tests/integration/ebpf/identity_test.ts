import assert from "node:assert/strict";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { OFFSET, SIZE } from "../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { rejectionBy } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import type { TestNode } from "./support/sockets/node.ts";
import { settings, withScene } from "./support/sockets/scene.ts";

const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:8080@here"] });
const ofA = { endpoints: ["10.1.0.2:8080@here"] };
const ofB = { endpoints: ["10.1.0.3:8080"] };

const removal = (plan: typeof web) => ({ key: plan.key, old: plan, new: undefined });

Deno.test("what clients of a deleted service remember leads no client of a later one to its pod", () =>
  withScene(async ({ node, client, nodeSockets, backend }) => {
    const sticky = { clusterIP: "10.96.0.20:80", affinitySeconds: 100 };
    const datagrams = { protocol: "UDP", clusterIP: "10.96.0.53:53" } as const;
    const deleted = [
      planOf({ name: "sticky", ...sticky, ...ofB }),
      planOf({ name: "dns", ...datagrams, ...ofB }),
    ];
    await backend.reconcile([web, ...deleted], settings);
    assert.equal((await client.sockets.connect("10.96.0.20", 80)).server, "b");
    const toB = await nodeSockets.send("10.96.0.53", 53, { name: "resolver" });
    assert.deepEqual(toB.servers, { b: 1 });
    await backend.apply(deleted.map(removal));
    await backend[Symbol.asyncDispose]();

    await using restarted = node.startBackend();
    // One more service than before, so that numbers of the deleted ones would be assigned in any order.
    const later = [
      planOf({ name: "new-sticky", ...sticky, ...ofA }),
      planOf({ name: "new-dns", ...datagrams, ...ofA }),
      planOf({ name: "another", clusterIP: "10.96.0.30:80", ...ofA }),
    ];
    await restarted.reconcile([web], settings);
    await restarted.apply(later.map((plan) => ({ key: plan.key, old: undefined, new: plan })));
    assert.equal((await client.sockets.connect("10.96.0.20", 80)).server, "a");
    assert.deepEqual((await nodeSockets.send("10.96.0.53", 53, { name: "resolver" })).servers, { a: 1 });
  }));

Deno.test("a second process on the same maps is rejected, also in another network namespace, and at cleanup", () =>
  withScene(async ({ node, client, backend }) => {
    await backend.reconcile([web], settings);
    await using other = await NetworkNamespace.make();
    {
      await using second = startEbpf(other, node);
      const inUse = new RegExp(
        `process ${backend.pid} uses the maps in ${node.bpffs}: .* its own --ebpf-bpffs`,
      );
      assert.match((await rejectionBy(() => second.reconcile([], settings))).message, inUse);
      assert.match((await rejectionBy(() => second.cleanup())).message, inUse);
    }
    assert.equal((await client.sockets.connect("10.96.0.10", 80)).server, "a");
    assert.deepEqual((await backend.reconcile([web], settings)).differences, []);
    await backend[Symbol.asyncDispose]();
    // The lock ends with the process.
    await using third = startEbpf(other, node);
    await third.cleanup();
  }));

// libbpf stays open.
Deno.test(
  "a foreign change of the maps is found and reported without a reconcile, and then repaired",
  { sanitizeResources: false },
  () =>
    withScene(async ({ node, client, backend }) => {
      await backend.reconcile([web], settings);
      await backend.watch();
      changeEndpoint(node);
      await backend.untilReported(1);
      assert.match(
        backend.foreignChanges[0] ?? "",
        /endpoints of default\/web:http were changed in the maps/,
      );
      assert.equal((await backend.reconcile([web], settings)).differences.length, 1);
      assert.equal((await client.sockets.connect("10.96.0.10", 80)).server, "a");
      deleteServices(node);
      await backend.untilReported(2);
      assert.match(backend.foreignChanges[1] ?? "", /10\.96\.0\.10:80\/TCP of default\/web:http was removed/);
    }),
);

function mapsOf(node: TestNode): string {
  const [directory] = [...Deno.readDirSync(node.bpffs)];
  return `${node.bpffs}/${directory?.name}/maps`;
}

/** Replaces the endpoint in the slot of the first service that has one. */
function changeEndpoint(node: TestNode): void {
  using services = BpfMap.pinned("services", `${mapsOf(node)}/services`);
  using endpoints = BpfMap.pinned("endpoints", `${mapsOf(node)}/endpoints`);
  assert(services !== undefined && endpoints !== undefined);
  let slot: number | undefined;
  services.forEach((_keys, _key, values, value) => {
    const { cluster } = OFFSET.service;
    const count = values.getUint32(value + cluster + OFFSET.list.count, true);
    if (count > 0) slot = values.getUint32(value + cluster + OFFSET.list.first, true);
  });
  assert(slot !== undefined);
  const key = new Uint8Array(Uint32Array.of(slot).buffer);
  endpoints.update(key, new Uint8Array(SIZE.endpoint).fill(7));
}

function deleteServices(node: TestNode): void {
  using services = BpfMap.pinned("services", `${mapsOf(node)}/services`);
  assert(services !== undefined);
  for (const key of [...services.keys()]) services.delete(key);
}
