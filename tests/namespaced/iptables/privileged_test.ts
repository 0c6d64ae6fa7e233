import assert from "node:assert/strict";
import { routeLocalnet } from "../../../backends/iptables/host_settings.ts";
import { CT_STATE_INVALID_DROPPED } from "../../../backends/iptables/rules/names.ts";
import { PacketCounters } from "../../../backends/iptables/nfacct.ts";
import { probeKernel } from "../../../backends/iptables/probe.ts";
import { TABLE_FAMILIES } from "../../../backends/nf_tables/families.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";

/** Runs in a network namespace made by tests/integration/iptables/kernel_test.ts. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

Deno.test(
  "the kernel has what mode iptables needs, and probing changes nothing",
  keepsLibraries,
  async () => {
    using client = NetlinkClient.open(NETLINK_NETFILTER);
    const found = await probeKernel(client, TABLE_FAMILIES);
    assert.deepEqual(found.filter((requirement) => !requirement.found), []);
    assert.equal(await nft("list", "ruleset"), "");
    await iptables("--append", "FORWARD", "--jump", "DROP");
    const before = await nft("list", "ruleset");
    await probeKernel(client, TABLE_FAMILIES);
    assert.equal(await nft("list", "ruleset"), before);
  },
);

Deno.test(
  "a packet counter is created once, keeps its count, and is exported as kube-proxy's metric",
  keepsLibraries,
  async () => {
    using client = NetlinkClient.open(NETLINK_NETFILTER);
    const counters = new PacketCounters(client);
    assert.equal(await counters.isSupported(), true);
    assert.equal(await counters.read(CT_STATE_INVALID_DROPPED), undefined);
    assert.deepEqual(await counters.metrics(), []);
    await counters.ensure(CT_STATE_INVALID_DROPPED);
    const match = ["--match", "nfacct", "--nfacct-name", CT_STATE_INVALID_DROPPED];
    await iptables("--append", "OUTPUT", "--protocol", "udp", ...match, "--jump", "DROP");
    // The sender gets an error for a packet that is dropped in OUTPUT.
    const send = "for packet in 1 2 3; do echo > /dev/udp/127.0.0.1/9; done; true";
    await run("bash", ["-c", `{ ${send}; } 2> /dev/null`]);
    await counters.ensure(CT_STATE_INVALID_DROPPED);
    assert.equal(await counters.read(CT_STATE_INVALID_DROPPED), 3);
    assert.deepEqual(
      (await counters.metrics()).map(({ name, type, samples }) => [name, type, samples[0]?.value]),
      [["iptables_ct_state_invalid_dropped_packets_total", "counter", 3]],
    );
  },
);

Deno.test("route_localnet is set in this network namespace", () => {
  const path = "/proc/sys/net/ipv4/conf/all/route_localnet";
  assert.equal(Deno.readTextFileSync(path), "0\n");
  assert.equal(routeLocalnet(), undefined);
  assert.equal(Deno.readTextFileSync(path), "1\n");
});

async function nft(...args: readonly string[]): Promise<string> {
  return await run("nft", args);
}

async function iptables(...args: readonly string[]): Promise<string> {
  return await run("iptables", args);
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
