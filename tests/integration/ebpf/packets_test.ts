import { slowness } from "../../lab/pace.ts";
import { balancingCases } from "./packet_cases/balancing.ts";
import { closingCases } from "./packet_cases/closing.ts";
import { connectionCases } from "./packet_cases/connections.ts";
import { deviceCases } from "./packet_cases/devices.ts";
import { earlyFinCases } from "./packet_cases/early_fins.ts";
import { flowCases } from "./packet_cases/flows.ts";
import { fragmentCases } from "./packet_cases/fragments.ts";
import { headerCases } from "./packet_cases/headers.ts";
import { icmpLimitCases } from "./packet_cases/icmp_limits.ts";
import { icmpErrorCases } from "./packet_cases/icmp_errors.ts";
import { ignoredPacketCases } from "./packet_cases/ignored_packets.ts";
import { lostEndpointCases } from "./packet_cases/lost_endpoints.ts";
import { masqueradeCases } from "./packet_cases/masquerade.ts";
import { nodeEndpointCases } from "./packet_cases/node_endpoints.ts";
import { netfilterCases, ownPacketCases, withoutNetfilterCases } from "./packet_cases/others.ts";
import { rejectionCases } from "./packet_cases/rejections.ts";
import { reopeningCases } from "./packet_cases/reopening.ts";
import { serviceCases } from "./packet_cases/services.ts";
import { sourcePortCases } from "./packet_cases/source_ports.ts";
import { throughStackCases } from "./packet_cases/through_stack.ts";
import { translationCases } from "./packet_cases/translation.ts";
import { unroutableCases } from "./packet_cases/unroutable.ts";
import { CountingPrograms } from "./support/coverage/coverage.ts";
import { assertAllTakenOrExplained } from "./support/coverage/untaken_branches.ts";
import { type Cases, PacketNode } from "./support/packets/packet_node.ts";
import { Wire } from "./support/packets/wire.ts";

Deno.test("the tc programs handle every kind of packets", async (t) => {
  await using node = await PacketNode.make();
  await runAllCases(t, node);
  await runCases(t, node, withoutNetfilterCases);
});

Deno.test("the tc programs leave flows of netfilter alone", async (t) => {
  await loadConnectionTracking();
  await using node = await PacketNode.make(WITH_NETFILTER);
  await runCases(t, node, netfilterCases);
});

// Which branches packets take does not depend on the kernel, so emulated machines skip this test.
const ignore = slowness > 1;
Deno.test(
  "the cases take every branch of the tc programs, except the explained ones",
  { ignore },
  async (t) => {
    await loadConnectionTracking();
    using programs = await CountingPrograms.make();
    await using node = await PacketNode.make(programs.object);
    await runAllCases(t, node);
    await runCases(t, node, netfilterCases);
    const outcomes = await programs.outcomes(await node.branchCounters());
    await t.step("every branch", () => assertAllTakenOrExplained(outcomes));
    const taken = outcomes.filter(({ times }) => times > 0).length;
    console.log(`${taken} of ${outcomes.length} outcomes of conditions were reached`);
  },
);

/** One packet at a time, handed to the programs without attaching them. */
const CASES = {
  ...translationCases,
  ...headerCases,
  ...fragmentCases,
  ...masqueradeCases,
  ...nodeEndpointCases,
  ...rejectionCases,
  ...unroutableCases,
  ...icmpErrorCases,
  ...icmpLimitCases,
  ...throughStackCases,
  ...serviceCases,
  ...balancingCases,
  ...sourcePortCases,
  ...flowCases,
  ...lostEndpointCases,
  ...connectionCases,
  ...closingCases,
  ...earlyFinCases,
  ...reopeningCases,
  ...ownPacketCases,
  ...ignoredPacketCases,
};

async function runAllCases(t: Deno.TestContext, node: PacketNode): Promise<void> {
  await runCases(t, node, CASES);
  await using wire = await Wire.connect(node);
  for (const [name, body] of Object.entries(deviceCases)) await t.step(name, () => body(wire, node));
}

async function runCases(t: Deno.TestContext, node: PacketNode, cases: Cases): Promise<void> {
  for (const [name, body] of Object.entries(cases)) await t.step(name, () => body(node));
}

const WITH_NETFILTER = new URL("../../../dist/bpf/tc_netfilter.bpf.o", import.meta.url).pathname;

/** The programs' kernel functions are in this module, where connection tracking is not built in. */
async function loadConnectionTracking(): Promise<void> {
  await new Deno.Command("modprobe", { args: ["nf_conntrack"] }).output();
}
