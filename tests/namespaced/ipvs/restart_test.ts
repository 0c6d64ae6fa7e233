import assert from "node:assert/strict";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import type { ReconcileReport } from "../../../core/backend/contract.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { deviceAddresses, savedServers, serverStatistics } from "./listings.ts";
import { Connection, Pod } from "../../integration/ipvs/support/pods.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and a scheduled poll does not keep it alive.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080@here"] });
const web6 = planOf({ name: "web", clusterIP: "[fd00:96::a]:80", endpoints: ["[fd00:1::1]:8080"] });
const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.11:53",
  endpoints: ["10.1.0.3:53", "10.1.0.4:53"],
  affinitySeconds: 600,
});
const desired = desiredOf([web, web6, dns]);

Deno.test(
  "a restart keeps what is right, and repairs the rest",
  keepsLibraries,
  async (t) => {
    await using _pod = await Pod.start("10.1.0.1");
    using first = new IpvsBackend(defaultOptions);
    const { found, differences, warnings } = await first.reconcile(desired);
    assert.deepEqual({ found, differences, warnings }, { found: "nothing", differences: [], warnings: [] });
    using connection = await Connection.open("10.96.0.10");

    await t.step("ipvsadm and ip show what is in force", async () => {
      assert.deepEqual(await savedServers(), [
        "-A -t 10.96.0.10:80 -s rr",
        "-A -t [fd00:96::a]:80 -s rr",
        "-A -u 10.96.0.11:53 -s rr -p 600",
        "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
        "-a -t [fd00:96::a]:80 -r [fd00:1::1]:8080 -m -w 1",
        "-a -u 10.96.0.11:53 -r 10.1.0.3:53 -m -w 1",
        "-a -u 10.96.0.11:53 -r 10.1.0.4:53 -m -w 1",
      ]);
      assert.deepEqual(await deviceAddresses(), ["10.96.0.10/32", "10.96.0.11/32", "fd00:96::a/128"]);
    });

    await t.step(
      "a restart with nothing to do causes no event in ip monitor, and keeps the counters",
      async () => {
        const before = await settledStatistics();
        const monitor = await Monitor.start();
        assert.deepEqual(await restarted(), { found: "ours", differences: [] });
        assert.deepEqual(await monitor.stop(), []);
        assert.deepEqual(await serverStatistics(), before);
        assert.equal(await connection.ask(), "10.1.0.1");
      },
    );

    await t.step("a restart repairs exactly the changes made meanwhile", async () => {
      const saved = await savedServers();
      const addresses = await deviceAddresses();
      for (
        const command of [
          "ipvsadm -d -u 10.96.0.11:53 -r 10.1.0.3:53",
          "ipvsadm -e -u 10.96.0.11:53 -r 10.1.0.4:53 -m -w 7",
          "ipvsadm -E -u 10.96.0.11:53 -s wrr -p 600",
          "ipvsadm -D -t [fd00:96::a]:80",
          "ipvsadm -A -t 10.99.0.1:80 -s rr",
          "ipvsadm -a -t 10.99.0.1:80 -r 10.1.0.9:80 -m",
          "ip address del 10.96.0.11/32 dev kube-ipvs0",
          "ip address add 10.99.0.1/32 dev kube-ipvs0",
        ]
      ) await run(...command.split(" ") as [string, ...string[]]);
      const monitor = await Monitor.start();
      assert.deepEqual(await restarted(), {
        found: "ours",
        differences: [
          "add virtual server [fd00:96::a]:80/TCP",
          "add real server [fd00:1::1]:8080 to virtual server [fd00:96::a]:80/TCP",
          "add real server 10.1.0.3:53 to virtual server 10.96.0.11:53/UDP",
          "add address 10.96.0.11 to kube-ipvs0",
          "change virtual server 10.96.0.11:53/UDP",
          "change real server 10.1.0.4:53 of virtual server 10.96.0.11:53/UDP",
          "remove virtual server 10.99.0.1:80/TCP",
          "remove address 10.99.0.1 from kube-ipvs0",
        ],
      });
      const told = await monitor.stop();
      assert.equal(told.filter((line) => line.includes(" inet ")).length, 2, told.join("\n"));
      assert.deepEqual(await savedServers(), saved);
      assert.deepEqual(await deviceAddresses(), addresses);
      assert.equal(await connection.ask(), "10.1.0.1");
    });

    await first.cleanup();
    assert.deepEqual(await savedServers(), []);
    await assert.rejects(deviceAddresses(), /does not exist/);
    assert.equal(await run("nft", "list", "tables"), "");
  },
);

async function restarted(): Promise<Pick<ReconcileReport, "found" | "differences">> {
  using backend = new IpvsBackend(defaultOptions);
  const { found, differences } = await backend.reconcile(desired);
  return { found, differences };
}

/** Statistics that include a connection, once they are stable. The kernel updates them every two seconds. */
async function settledStatistics(): Promise<readonly string[]> {
  let before: readonly string[] = [];
  for (let attempt = 0; attempt < 30; attempt++) {
    const now = await serverStatistics();
    const isCounted = now.some((line) => line.startsWith("TCP 10.96.0.10:80 1 "));
    if (isCounted && now.join() === before.join()) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 2100));
  }
  assert.fail("the kernel never counted the connection");
}

/** `ip monitor` of addresses and links. */
class Monitor {
  private constructor(private readonly process: Deno.ChildProcess) {}

  static async start(): Promise<Monitor> {
    const args = ["-o", "monitor", "address", "link"];
    const monitor = new Monitor(new Deno.Command("ip", { args, stdout: "piped" }).spawn());
    await new Promise((resolve) => setTimeout(resolve, 500));
    return monitor;
  }

  /** @returns its output lines */
  async stop(): Promise<readonly string[]> {
    await new Promise((resolve) => setTimeout(resolve, 500));
    this.process.kill("SIGTERM");
    const { stdout } = await this.process.output();
    return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  }
}
