import assert from "node:assert/strict";
import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import { loadModule } from "../../../backends/ipvs/protocol/modules.ts";
import { tryScheduler } from "../../../backends/ipvs/servers/schedulers.ts";
import { setSysctls } from "../../../backends/ipvs/sysctls.ts";
import { hasModule } from "../../integration/ipvs/support/has_ipvs.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

Deno.test("sysctls are set, and the ones of strict ARP only with strictARP", keepsLibraries, async () => {
  using _ = await IpvsConnection.open();
  const read = (name: string) => Deno.readTextFileSync(`/proc/sys/net/ipv4/${name}`).trim();
  assert.deepEqual(setSysctls({ strictArp: false }), []);
  assert.deepEqual(
    ["vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"].map(read),
    ["1", "1", "1", "1"],
  );
  assert.equal(read("conf/all/arp_ignore"), "0");
  assert.deepEqual(setSysctls({ strictArp: true }), []);
  assert.deepEqual(["conf/all/arp_ignore", "conf/all/arp_announce"].map(read), ["1", "2"]);
});

Deno.test("probing every scheduler in both families leaves nothing behind", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  for (
    const scheduler of ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"]
  ) {
    await tryScheduler(connection, scheduler);
    await tryScheduler(connection, scheduler, "IPv6");
  }
  assert.deepEqual(await connection.virtualServers(), []);
});

Deno.test("a missing scheduler is an error that names the module to load", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await assert.rejects(
    tryScheduler(connection, "nosuch"),
    /use the scheduler nosuch of IPVS.*its module ip_vs_nosuch is missing.*\. Schedulers of IPVS are rr, wrr.*modprobe ip_vs_nosuch$/,
  );
});

Deno.test({
  name: "the proxy loads modules with their dependencies where the kernel does not",
  ...keepsLibraries,
  ignore: !hasModule("ip_vs_wrr"),
  async fn() {
    const modprobe = "/proc/sys/kernel/modprobe";
    const before = Deno.readTextFileSync(modprobe);
    Deno.writeTextFileSync(modprobe, "/nonexistent");
    try {
      await run("rmmod", "ip_vs_wrr");
      {
        using connection = await IpvsConnection.open();
        await tryScheduler(connection, "wrr");
      }
      // The kernel rejects loading a module that is loaded already, which must not be an error.
      assert.match(loadModule("ip_vs") ?? "", /the kernel rejected/);
      await run("rmmod", "ip_vs_wrr");
      assert.equal(loadModule("ip_vs_wrr"), undefined);
    } finally {
      Deno.writeTextFileSync(modprobe, before);
    }
  },
});
