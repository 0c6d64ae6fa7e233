import { slowness } from "../../lab/pace.ts";
import { balancingCases } from "./packet_cases/balancing.ts";
import { deviceCases } from "./packet_cases/devices.ts";
import { flowCases } from "./packet_cases/flows.ts";
import { fragmentCases } from "./packet_cases/fragments.ts";
import { headerCases } from "./packet_cases/headers.ts";
import { icmpErrorCases } from "./packet_cases/icmp_errors.ts";
import { ignoredPacketCases } from "./packet_cases/ignored_packets.ts";
import { masqueradeCases } from "./packet_cases/masquerade.ts";
import { nodeEndpointCases } from "./packet_cases/node_endpoints.ts";
import { rejectionCases } from "./packet_cases/rejections.ts";
import { serviceCases } from "./packet_cases/services.ts";
import { sourcePortCases } from "./packet_cases/source_ports.ts";
import { translationCases } from "./packet_cases/translation.ts";
import { unroutableCases } from "./packet_cases/unroutable.ts";
import { CountingPrograms } from "./support/coverage/coverage.ts";
import { assertAllTakenOrExplained } from "./support/coverage/untaken_branches.ts";
import { PacketNode } from "./support/packets/packet_node.ts";
import { Wire } from "./support/packets/wire.ts";

Deno.test("the tc programs handle every kind of packets", async (t) => {
  await using node = await PacketNode.make();
  await runAllCases(t, node);
});

// Which branches packets take does not depend on the kernel, so emulated machines skip this test.
const ignore = slowness > 1;
Deno.test(
  "the cases take every branch of the tc programs, except the explained ones",
  { ignore },
  async (t) => {
    using programs = await CountingPrograms.make();
    await using node = await PacketNode.make(programs.object);
    await runAllCases(t, node);
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
  ...serviceCases,
  ...balancingCases,
  ...sourcePortCases,
  ...flowCases,
  ...ignoredPacketCases,
};

async function runAllCases(t: Deno.TestContext, node: PacketNode): Promise<void> {
  for (const [name, body] of Object.entries(CASES)) await t.step(name, () => body(node));
  await using wire = await Wire.connect(node);
  for (const [name, body] of Object.entries(deviceCases)) await t.step(name, () => body(wire, node));
}
