import assert from "node:assert/strict";
import { FLOW, FLOW_STATE, OFFSET } from "../../../backends/ebpf/maps/layout.ts";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { addressOf, settingsOf } from "../../backends/plans.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { smallOptions } from "../../backends/ebpf/options.ts";
import type { BackendProcess } from "../support/backend_process.ts";
import { countedTraffic } from "./support/counted_traffic.ts";
import { isLinux } from "./support/kernel_version.ts";
import { OtherVersion } from "./support/other_version.ts";
import type { TestNode } from "./support/sockets/node.ts";
import { Outside } from "./support/sockets/outside.ts";
import { withScene } from "./support/sockets/scene.ts";
import type { Connected } from "./support/sockets/sockets.ts";

const both = ["10.1.0.2:8080@here", "10.1.0.3:8080@here"];
const web = planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080, endpoints: both });
const sticky = planOf({
  name: "sticky",
  clusterIP: "10.96.0.20:80",
  nodePort: 30081,
  affinitySeconds: 3600,
  endpoints: both,
});
const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.53:53",
  nodePort: 30053,
  endpoints: both,
});
const plans = [web, sticky, dns];

const NODE = "10.1.0.1";
const settings = [
  settingsOf("IPv4", { interfaceAddresses: [addressOf(NODE)], nodePorts: [addressOf(NODE)] }),
];

const HOUR_MS = 3_600_000;
/** An emulated machine takes longer than the default timeouts of UDP flows. */
const patient = {
  timeouts: { ...smallOptions.timeouts, udpTimeoutMs: HOUR_MS, udpStreamTimeoutMs: HOUR_MS },
};

/** Connections from outside, clients with affinity and sockets, which must go on as they are after `replace`. */
async function assertKept(
  replace: (node: TestNode) => AsyncIterable<BackendProcess>,
): Promise<void> {
  await withScene(async ({ node, client, nodeSockets }) => {
    await using outside = await Outside.make(node);
    await using first = node.startBackend(patient);
    await first.reconcile(plans, settings);
    const kept = [
      await outside.sockets.keep("tcp", NODE, 30080),
      await outside.sockets.keep("udp", NODE, 30053, { protocol: "UDP" }),
      await client.sockets.keep("socket", "10.96.0.10", 80),
      await client.sockets.keep("datagrams", "10.96.0.53", 53, { protocol: "UDP" }),
    ];
    const affine = [
      (await outside.sockets.connect(NODE, 30081)).server,
      (await client.sockets.connect("10.96.0.20", 80)).server,
    ];
    const resolver = await nodeSockets.send("10.96.0.53", 53, { name: "resolver" });
    const before = await countedTraffic(first, web.key);
    await first[Symbol.asyncDispose]();
    for await (const next of replace(node)) {
      const { warnings } = await next.reconcile(plans, settings);
      assert.equal(warnings, undefined);
      assert.deepEqual([
        await outside.sockets.ask("tcp"),
        await outside.sockets.ask("udp"),
        await client.sockets.ask("socket"),
        await client.sockets.ask("datagrams"),
      ], kept);
      for (let time = 0; time < 5; time++) {
        assert.deepEqual([
          (await outside.sockets.connect(NODE, 30081)).server,
          (await client.sockets.connect("10.96.0.20", 80)).server,
        ], affine);
      }
      assert.deepEqual(await nodeSockets.send("10.96.0.53", 53, { name: "resolver" }), resolver);
      assert.deepEqual((await countedTraffic(next, web.key)).connections, before.connections);
      assert.equal([...Deno.readDirSync(node.bpffs)].length, 1);
    }
  });
}

Deno.test("flows, clients and sockets survive other capacities", () =>
  assertKept(async function* (node) {
    const larger = { frontends: 8192, endpoints: 32768, connections: 4096, clients: 2048 };
    for (const capacity of [larger, smallOptions.capacity]) {
      await using next = node.startBackend({ ...patient, capacity });
      yield next;
    }
  }));

Deno.test("flows, clients and sockets survive another version, with other structs, and the way back", async () => {
  await using other = await OtherVersion.make();
  await assertKept(async function* (node) {
    for (const wrapper of [other.wrapper, []]) {
      await using next = node.startBackend(patient, wrapper);
      yield next;
    }
  });
});

// Before tcx, a device has only one program, and connections that begin while it is replaced may be lost.
const hasLinks = { ignore: !isLinux(6, 6) };
Deno.test(
  "connections that begin while programs are replaced are carried over, and none fails",
  hasLinks,
  () =>
    withScene(async ({ node, backend }) => {
      await using outside = await Outside.make(node);
      // Leaves 4096 source ports, so that two versions that chose from the same ones would soon choose one twice.
      await node.network.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=5120 65535");
      await backend.reconcile(plans, settings);
      await backend[Symbol.asyncDispose]();
      const kept = new Map<string, Connected>();
      // Enough for all connections: an LRU map evicts some before it is full.
      for (const connections of [8192, 16384, 4096]) {
        await using next = node.startBackend({ capacity: { ...smallOptions.capacity, connections } });
        let isReplaced = false;
        const replacing = next.reconcile(plans, settings).finally(() => isReplaced = true);
        while (!isReplaced) {
          const name = `connection ${kept.size}`;
          kept.set(name, await outside.sockets.keep(name, NODE, 30080));
        }
        await replacing;
        for (const [name, connection] of kept) assert.deepEqual(await outside.sockets.ask(name), connection);
      }
      assert(kept.size > 30, `${kept.size} connections`);
    }),
);

Deno.test(
  "connections that end while programs are replaced have ended for the new ones, too",
  { ...hasLinks, sanitizeResources: false },
  () =>
    withScene(async ({ node, backend }) => {
      await using outside = await Outside.make(node);
      const capacity = { ...smallOptions.capacity, connections: 8192 };
      await backend[Symbol.asyncDispose]();
      await using first = node.startBackend({ ...patient, capacity });
      await first.reconcile(plans, settings);
      const names = Array.from({ length: 800 }, (_, index) => `connection ${index}`);
      for (const name of names) await outside.sockets.keep(name, NODE, 30080);
      await first[Symbol.asyncDispose]();
      assert.equal(openFlows(node), names.length);
      await using next = node.startBackend({ ...patient, capacity: { ...capacity, connections: 16384 } });
      await next.probe();
      let isReplaced = false;
      const replacing = next.reconcile(plans, settings).finally(() => isReplaced = true);
      while (!isReplaced) {
        const name = names.pop();
        if (name !== undefined) await outside.sockets.close(name);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await replacing;
      assert(names.length < 780, `${800 - names.length} have ended`);
      assert.equal(openFlows(node), names.length);
    }),
);

/** The number of connections, in all maps, that have not ended. */
function openFlows(node: TestNode): number {
  let count = 0;
  for (const { name } of Deno.readDirSync(node.bpffs)) {
    using flows = BpfMap.pinned("conntrack", `${node.bpffs}/${name}/maps/conntrack`);
    flows?.forEach((_keys, _key, values, value) => {
      const isReply = values.getUint32(value + OFFSET.flow.flags, true) & FLOW.REPLY;
      const state = values.getUint32(value + OFFSET.flow.state, true);
      const finished = state & (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED);
      if (!isReply && finished !== (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED)) count++;
    });
  }
  return count;
}

Deno.test("without CAP_SYS_ADMIN, what another layout remembers is lost, and a warning says so", async () => {
  await using other = await OtherVersion.make();
  await withScene(async ({ node, client, backend }) => {
    await backend.reconcile(plans, settings);
    await backend[Symbol.asyncDispose]();
    const drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    await using next = node.startBackend({}, [...drop, ...other.wrapper]);
    const { warnings } = await next.reconcile(plans, settings);
    assert.match(warnings?.join() ?? "", /maps .*affinity.* could not be carried over.*takes CAP_SYS_ADMIN/);
    assert.equal((await client.sockets.connect("10.96.0.10", 80)).peer, "10.96.0.10");
  });
});
