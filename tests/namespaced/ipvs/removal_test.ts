import assert from "node:assert/strict";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import { Balancer } from "../../../backends/ipvs/servers/balancer.ts";
import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import { diffServers } from "../../../backends/ipvs/servers/diff.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { real, virtual } from "../../backends/ipvs/servers.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { slowness } from "../../lab/pace.ts";
import { savedServers } from "./listings.ts";
import { Connection, Pod } from "../../integration/ipvs/support/pods.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and a scheduled poll does not keep it alive.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const both = ["10.1.0.1:8080", "10.1.0.2:8080"];

function changeOf(protocol: "TCP" | "UDP", old: readonly string[], next: readonly string[]): PlanChange {
  const plan = (endpoints: readonly string[]) =>
    planOf({ name: protocol.toLowerCase(), protocol, clusterIP: "10.96.0.10:80", endpoints });
  return { key: plan([]).key, old: plan(old), new: plan(next) };
}

Deno.test(
  "a removed real server keeps its connections until the last one has ended",
  keepsLibraries,
  async (t) => {
    await using _one = await Pod.start("10.1.0.1");
    await using _other = await Pod.start("10.1.0.2");
    using backend = new IpvsBackend(defaultOptions);
    const [tcp, udp] = [changeOf("TCP", both, both), changeOf("UDP", both, both)];
    await backend.reconcile(desiredOf([tcp.old, udp.old].filter((plan) => plan !== undefined)));
    const held = await connectionTo("10.1.0.1");

    await t.step("a TCP server gets no new connections, a UDP server is removed at once", async () => {
      await backend.apply([
        changeOf("TCP", both, ["10.1.0.2:8080"]),
        changeOf("UDP", both, ["10.1.0.2:8080"]),
      ]);
      assert.deepEqual((await savedServers()).filter((line) => line.startsWith("-a")), [
        "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0",
        "-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1",
        "-a -u 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1",
      ]);
      for (let attempt = 0; attempt < 4; attempt++) {
        using connection = await Connection.open("10.96.0.10");
        assert.equal(connection.pod, "10.1.0.2");
      }
      assert.equal(await held.ask(), "10.1.0.1");
    });

    await t.step("a server that comes back meanwhile gets its weight and keeps its connections", async () => {
      await backend.apply([changeOf("TCP", ["10.1.0.2:8080"], both)]);
      assert.ok((await savedServers()).includes("-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1"));
      assert.equal(await held.ask(), "10.1.0.1");
    });

    await t.step("a restart recognises a draining server, and changes nothing", async () => {
      await backend.apply([changeOf("TCP", both, ["10.1.0.2:8080"])]);
      using restarted = new IpvsBackend(defaultOptions);
      const plans = [changeOf("TCP", [], ["10.1.0.2:8080"]), changeOf("UDP", [], ["10.1.0.2:8080"])]
        .flatMap((change) => change.new ?? []);
      assert.deepEqual((await restarted.reconcile(desiredOf(plans))).differences, []);
      assert.equal(await held.ask(), "10.1.0.1");
    });

    await t.step("it is removed when its connections have ended", async () => {
      await held.reset();
      const began = performance.now();
      while ((await savedServers()).some((line) => line.includes("-t 10.96.0.10:80 -r 10.1.0.1"))) {
        assert.ok(performance.now() - began < 60_000 * slowness, (await savedServers()).join("\n"));
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      console.log(`    left ${((performance.now() - began) / 1000).toFixed(1)} s after the reset`);
    });
    await backend.cleanup();
  },
);

Deno.test(
  "a real server whose connections do not end is removed after the time limit",
  keepsLibraries,
  async () => {
    await using _pod = await Pod.start("10.1.0.1");
    using balancer = new Balancer(await IpvsConnection.open(), 300);
    await run("ip", "address", "add", "10.96.0.10", "dev", "lo");
    const web = virtual("10.96.0.10:80/TCP");
    const [before, after] = [[{ ...web, realServers: [real("10.1.0.1:8080")] }], [{
      ...web,
      realServers: [],
    }]];
    await balancer.add(diffServers(before, []));
    using _held = await Connection.open("10.96.0.10");
    const leaving = balancer.deferRemovals(diffServers(after, before));
    await balancer.add(leaving);
    await balancer.remove(leaving);
    await balancer.removeDrained();
    assert.deepEqual(await savedServers(), [
      "-A -t 10.96.0.10:80 -s rr",
      "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0",
    ]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await balancer.removeDrained();
    assert.deepEqual(await savedServers(), ["-A -t 10.96.0.10:80 -s rr"]);
    await balancer.removeAll([web]);
    await run("ip", "address", "del", "10.96.0.10", "dev", "lo");
  },
);

/** With rr, every second connection goes to the pod. */
async function connectionTo(pod: string): Promise<Connection> {
  for (;;) {
    const connection = await Connection.open("10.96.0.10");
    if (connection.pod === pod) return connection;
    connection[Symbol.dispose]();
  }
}
