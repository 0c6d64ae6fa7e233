import assert from "node:assert/strict";
import { planOf, type PlanText } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import { assertAllTakenOrArgued } from "./coverage/argued.ts";
import { CountingPrograms } from "./coverage/coverage.ts";
import { errorCases } from "./error_cases.ts";
import { flowCases } from "./flow_cases.ts";
import { headerCases } from "./header_cases.ts";
import { DROP } from "../../../backends/ebpf/maps/layout.ts";
import type { Balancing } from "../../../core/objects/objects.ts";
import { PacketNode } from "./packet_node.ts";
import { serviceCases } from "./service_cases.ts";
import { Wire } from "./wire.ts";
import { wireCases } from "./wire_cases.ts";

Deno.test("what the programs make of packets", async (t) => {
  await using node = await PacketNode.make();
  await allCases(t, node);
});

// Which branches packets take is no matter of the kernel's.
const ignore = slowness > 1;
Deno.test(
  "packets take every branch of the programs, or it is said why they do not",
  { ignore },
  async (t) => {
    using programs = await CountingPrograms.make();
    await using node = await PacketNode.make(programs.object);
    await allCases(t, node);
    const outcomes = await programs.outcomes(await node.branchCounters());
    await t.step("every branch", () => assertAllTakenOrArgued(outcomes));
    const taken = outcomes.filter(({ times }) => times > 0).length;
    console.log(`${taken} of ${outcomes.length} outcomes of conditions were come to`);
  },
);

async function allCases(t: Deno.TestContext, node: PacketNode): Promise<void> {
  await packetCases(t, node);
  const others = { ...headerCases, ...serviceCases, ...errorCases, ...flowCases };
  for (const [name, body] of Object.entries(others)) await t.step(name, () => body(node));
  await using wire = await Wire.of(node);
  for (const [name, body] of Object.entries(wireCases)) await t.step(name, () => body(wire, node));
}

async function packetCases(t: Deno.TestContext, node: PacketNode): Promise<void> {
  const test = async (name: string, body: () => Promise<void>) => void await t.step(name, body);

  await test("a node port: an endpoint, the node's address, and answers come back", async () => {
    await node.program([nodePort]);
    for (const flags of ["S", "A", "PA"]) {
      await node.becomes(
        `IP(src="192.168.8.9", dst="192.168.8.1", id=7)/TCP(sport=40000, dport=30080, flags="${flags}")/b"hello"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", id=7, ttl=63)/TCP(sport=61000, dport=8080, flags="${flags}")/b"hello"`,
      );
    }
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`,
      { at: "pod0" },
    );
    assert.equal((await node.state()).flows, 2);
  });

  await test("a node port (IPv6)", async () => {
    await node.program([nodePort6]);
    await node.becomes(
      `IPv6(src="fd00:8::9", dst="fd00:8::1", hlim=64)/TCP(sport=40000, dport=30080)/b"hello"`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/TCP(sport=61000, dport=8080)/b"hello"`,
    );
    await node.becomes(
      `IPv6(src="fd00:1::1", dst="fd00:8::1", hlim=64)/TCP(sport=8080, dport=61000, flags="SA")/b"odd"`,
      `IPv6(src="fd00:8::1", dst="fd00:8::9", hlim=63)/TCP(sport=30080, dport=40000, flags="SA")/b"odd"`,
      { at: "pod0" },
    );
  });

  await test("UDP, with and without a checksum", async () => {
    await node.program([dns]);
    for (const checksum of ["", ", chksum=0"]) {
      await node.becomes(
        `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53${checksum})/b"question"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353${checksum})/b"question"`,
      );
      await node.becomes(
        `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000${checksum})/b"answer"`,
        `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=5000${checksum})/b"answer"`,
        { at: "pod0" },
      );
    }
  });

  await test("a UDP checksum that comes out as 0 is sent as 0xffff: 0 is none", async () => {
    await node.program([dns]);
    // Chosen so that the sum over the translated packet is 0xffff.
    const [from, to] = [
      `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
    ];
    const before = (await node.build(`${to}/b"\\0\\0"`)).slice(52, 56);
    const filler = `bytes.fromhex("${before}")`;
    assert.equal((await node.build(`${to}/${filler}`)).slice(52, 56), "ffff");
    await node.becomes(`${from}/${filler}`, `${to}/${filler}`);
  });

  await test("options and extension headers stay where they are", async () => {
    await node.program([nodePort, nodePort6]);
    const options = `options=[IPOption_Timestamp(), IPOption_RR()]`;
    await node.becomes(
      `IP(src="192.168.8.9", dst="192.168.8.1", ${options})/TCP(sport=40001, dport=30080)/b"x"`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63, ${options})/TCP(sport=61000, dport=8080)/b"x"`,
    );
    const headers =
      `IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b"12345678")])`;
    await node.becomes(
      `IPv6(src="fd00:8::9", dst="fd00:8::1")/${headers}/TCP(sport=40001, dport=30080)`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/${headers}/TCP(sport=61000, dport=8080)`,
    );
    const many = Array(7).fill("IPv6ExtHdrDestOpt()").join("/");
    await node.isLeftAlone(`IPv6(src="fd00:8::9", dst="fd00:8::1")/${many}/TCP(sport=40001, dport=30080)`);
  });

  await test("fragments follow their first one, both ways", async () => {
    await node.program([dns]);
    const question =
      `IP(src="192.168.8.9", dst="10.96.0.10", id=77)/UDP(sport=5000, dport=53)/(b"eight..." * 9)`;
    const passedOn =
      `IP(src="192.168.8.1", dst="10.1.0.1", id=77, ttl=63)/UDP(sport=61000, dport=5353)/(b"eight..." * 9)`;
    for (const part of [0, 1, 2]) await node.becomes(fragment(question, part), fragment(passedOn, part));
    // One without its first.
    const stray = (to: string) => `IP(src="192.168.8.9", dst="${to}", id=78, frag=3, proto=17)/b"of another"`;
    const before = (await node.state()).drops[DROP.FRAGMENT]!;
    await node.isDropped(stray("10.96.0.10"));
    await node.isLeftAlone(stray("192.168.8.1"));
    assert.equal((await node.state()).drops[DROP.FRAGMENT], before + 1);
    const answer =
      `IP(src="10.1.0.1", dst="192.168.8.1", id=5)/UDP(sport=5353, dport=61000)/(b"eight..." * 5)`;
    const passedBack =
      `IP(src="10.96.0.10", dst="192.168.8.9", id=5, ttl=63)/UDP(sport=53, dport=5000)/(b"eight..." * 5)`;
    for (const part of [0, 1]) {
      await node.becomes(fragment(answer, part), fragment(passedBack, part), { at: "pod0" });
    }
    assert.equal((await node.state()).fragments, 2);
  });

  await test("fragments (IPv6)", async () => {
    await node.program([dns6]);
    const payload = `(b"eight..." * 200)`;
    const question =
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/IPv6ExtHdrFragment(id=9)/UDP(sport=5000, dport=53)/${payload}`;
    const passedOn =
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/IPv6ExtHdrFragment(id=9)/UDP(sport=61000, dport=5353)/${payload}`;
    for (const part of [0, 1]) await node.becomes(fragment6(question, part), fragment6(passedOn, part));
  });

  await test("the client keeps its address with external policy Local, and is dropped where no endpoint is", async () => {
    await node.program([
      planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.1:8080@here", "10.1.9.1:8080"] }),
    ]);
    for (let port = 41000; port < 41010; port++) {
      await node.becomes(
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${port}, dport=30080)`,
        `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080)`,
      );
    }
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=41000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=41000, flags="SA")`,
      { at: "pod0" },
    );
    await node.program([planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.9.1:8080"] })]);
    await node.isDropped(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=41000, dport=30080)`);
    // A pod of this node gets any endpoint, as itself.
    await node.becomes(
      `IP(src="10.1.0.2", dst="192.168.8.1")/TCP(sport=41000, dport=30080)`,
      `IP(src="10.1.0.2", dst="10.1.9.1", ttl=63)/TCP(sport=41000, dport=8080)`,
      { at: "pod0" },
    );
  });

  await test("pods of this node keep their address on the way to a ClusterIP, others do not", async () => {
    await node.program([dns]);
    await node.becomes(
      `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
      { at: "pod0" },
    );
    await node.becomes(
      `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=5000)`,
      `IP(src="10.96.0.10", dst="10.1.0.2", ttl=63)/UDP(sport=53, dport=5000)`,
      { at: "pod0" },
    );
    await node.program([dns], { node: { masqueradeAll: true } });
    await node.becomes(
      `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
      { at: "pod0" },
    );
    await node.program([dns], { node: { localTraffic: { mode: "none" } } });
    await node.becomes(
      `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
    );
  });

  await test("a pod that gets itself sees the node's address", async () => {
    await node.program([dns]);
    await node.becomes(
      `IP(src="10.1.0.1", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
      { at: "pod0" },
    );
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
      `IP(src="10.96.0.10", dst="10.1.0.1", ttl=63)/UDP(sport=53, dport=5000)`,
      { at: "pod0" },
    );
  });

  await test("an endpoint on the node itself sees the client, and is translated where it answers", async () => {
    await node.program([planOf({ nodePort: 30443, endpoints: ["192.168.8.1:6443@here"] })]);
    await node.becomes(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30443)`,
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=6443)`,
      { action: "pass" },
    );
    await node.leavesAs(
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=30443, dport=40000, flags="SA")`,
    );
    await node.leavesAs(
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40001)`,
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40001)`,
    );
  });

  await test("refused: a reset for TCP, port unreachable for UDP", async () => {
    await node.program([
      planOf({ nodePort: 30080, external: "reject", endpoints: [] }),
      planOf({ nodePort: 30080, external: "reject", endpoints: [], family: "IPv6" }),
      planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.10:53", internal: "reject", endpoints: [] }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "[fd00:96::10]:53",
        internal: "reject",
        endpoints: [],
      }),
    ]);
    await node.isAnswered(
      `IP(src="192.168.8.9", dst="192.168.8.1", id=3)/TCP(sport=40000, dport=30080, seq=1000)/b"early"`,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=3)/TCP(sport=30080, dport=40000, flags="RA", seq=0, ack=1006, window=0)`,
    );
    await node.isAnswered(
      `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=40000, dport=30080, flags="A", seq=1000, ack=77)`,
      `IPv6(src="fd00:8::1", dst="fd00:8::9")/TCP(sport=30080, dport=40000, flags="R", seq=77, window=0)`,
    );
    const question =
      `IP(src="192.168.8.9", dst="10.96.0.10", id=4)/UDP(sport=5000, dport=53, len=16, chksum=7)`;
    await node.isAnswered(
      `${question}/b"question"`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(src="192.168.8.9", dst="10.96.0.10", id=4, len=36)/UDP(sport=5000, dport=53, len=16, chksum=7)`,
    );
    await node.isAnswered(
      `IPv6(src="fd00:8::9", dst="fd00:96::10", plen=16)/UDP(sport=5000, dport=53, len=16, chksum=7)/b"question"`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::9", dst="fd00:96::10", plen=16)/UDP(sport=5000, dport=53, len=16, chksum=7)`,
    );
    await node.isLeftAlone(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="R")`,
    );
  });

  await test("what is too long for the way gets told so, before anything is remembered", async () => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.7.1:8080"] })]);
    const packet =
      `IP(src="192.168.8.9", dst="10.96.0.10", flags="DF", len=1440)/TCP(sport=40000, dport=80, flags="PA", chksum=9)`;
    await node.isAnswered(
      `${packet}/(b"x" * 1400)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=4, nexthopmtu=1400)/${packet}`,
    );
    assert.equal((await node.state()).flows, 0);
    await node.becomes(
      `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 1360)`,
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63)/TCP(sport=61000, dport=8080, flags="PA")/(b"x" * 1360)`,
    );
  });

  await test("what is too long for the way gets told so (IPv6)", async () => {
    await node.program([planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1:7::1]:8080"] })]);
    const packet =
      `IPv6(src="fd00:8::9", dst="fd00:96::10", plen=1420)/TCP(sport=40000, dport=80, flags="PA", chksum=9)`;
    await node.isAnswered(
      `${packet}/(b"x" * 1400)`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6PacketTooBig(mtu=1400)/${packet}`,
    );
  });

  await test("a packet at its last hop is not sent on", async () => {
    await node.program([nodePort]);
    const packet = `IP(src="192.168.8.9", dst="192.168.8.1", ttl=1)/TCP(sport=40000, dport=30080, chksum=9)`;
    await node.isAnswered(
      packet,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=0)/ICMP(type=11, code=0)/${packet}`,
    );
  });

  await test("errors about translated packets are turned inside out, to the client and to the endpoint", async () => {
    await node.program([dns]);
    await node.arrive(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)/b"question"`);
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353)/b"question"`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=3, code=3)/IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53)/b"question"`,
      { at: "pod0" },
    );
    await node.becomes(
      `IP(src="192.168.8.2", dst="10.96.0.10")/ICMP(type=3, code=4, nexthopmtu=1300)/IP(src="10.96.0.10", dst="192.168.8.9", ttl=62)/UDP(sport=53, dport=5000, len=1400)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/ICMP(type=3, code=4, nexthopmtu=1300)/IP(src="10.1.0.1", dst="192.168.8.1", ttl=62)/UDP(sport=5353, dport=61000, len=1400)`,
    );
    await node.isLeftAlone(
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=4)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=53, dport=5000)`,
    );
    await node.isLeftAlone(`IP(src="192.168.8.2", dst="192.168.8.1")/ICMP()`);
  });

  await test("errors about translated packets (IPv6)", async () => {
    await node.program([dns6]);
    await node.arrive(`IPv6(src="fd00:8::9", dst="fd00:96::10")/UDP(sport=5000, dport=53)/b"question"`);
    await node.becomes(
      `IPv6(src="fd00:1::1", dst="fd00:8::1")/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=62)/UDP(sport=61000, dport=5353)/b"question"`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=63)/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::9", dst="fd00:96::10", hlim=62)/UDP(sport=5000, dport=53)/b"question"`,
      { at: "pod0" },
    );
    await node.becomes(
      `IPv6(src="fd00:8::2", dst="fd00:96::10")/ICMPv6PacketTooBig(mtu=1300)/IPv6(src="fd00:96::10", dst="fd00:8::9", plen=1400)/UDP(sport=53, dport=5000, len=1400)`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/ICMPv6PacketTooBig(mtu=1300)/IPv6(src="fd00:1::1", dst="fd00:8::1", plen=1400)/UDP(sport=5353, dport=61000, len=1400)`,
    );
  });

  await test("a quote's checksum is put back with its addresses and ports, as far as it is quoted", async () => {
    await node.program([dns, nodePort]);
    const error = `ICMP(type=3, code=3)`;
    /** @param cut makes a quote of a packet. */
    const isPutBack = (arrived: string, sent: string, service: string, cut = (packet: string) => packet) =>
      node.becomes(
        `IP(src="10.1.0.1", dst="192.168.8.1")/${error}/${cut(arrived)}`,
        `IP(src="${service}", dst="192.168.8.9", ttl=63)/${error}/${cut(sent)}`,
        { at: "pod0" },
      );
    const bytes = (count: number) => (packet: string) => `Raw(bytes(${packet})[:${count}])`;

    await node.arrive(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    const udp = (payload: string, more = "") =>
      [
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353${more})/${payload}`,
        `IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53${more})/${payload}`,
        "10.96.0.10",
      ] as const;
    await isPutBack(...udp(`b"question"`));
    await isPutBack(...udp(`b"question"`), bytes(28));
    await isPutBack(...udp(`b"without a checksum"`, ", chksum=0"));
    // A sum that comes out as 0 is written as 0xffff.
    const filler = `bytes.fromhex("${(await node.build(udp(`b"\\0\\0"`)[1])).slice(52, 56)}")`;
    assert.equal((await node.build(udp(filler)[1])).slice(52, 56), "ffff");
    await isPutBack(...udp(filler));

    await node.program([nodePort]);
    await node.arrive(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    const tcp = [
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/TCP(sport=61000, dport=8080)/b"question"`,
      `IP(src="192.168.8.9", dst="192.168.8.1", ttl=62)/TCP(sport=40000, dport=30080)/b"question"`,
      "192.168.8.1",
    ] as const;
    await isPutBack(...tcp);
    // As much as has to be quoted, all before the checksum, and that with it.
    for (const count of [20 + 8, 20 + 16, 20 + 18]) await isPutBack(...tcp, bytes(count));
  });

  await test("only those in the source ranges may use a load balancer's address", async () => {
    await node.program([
      planOf({
        loadBalancerIPs: ["192.0.2.10:80"],
        sourceRanges: ["192.168.8.0/28"],
        endpoints: ["10.1.0.1:8080"],
      }),
    ]);
    await node.isDropped(`IP(src="192.168.8.66", dst="192.0.2.10")/TCP(sport=40000, dport=80)`);
    assert.equal(
      (await node.arrive(`IP(src="192.168.8.9", dst="192.0.2.10")/TCP(sport=40000, dport=80)`)).action,
      "redirect",
    );
  });

  await test("a client comes back to the same endpoint with affinity", async () => {
    const endpoints = Array.from({ length: 16 }, (_, index) => `10.1.0.${index + 1}:8080`);
    const destinations = async (from: string) => {
      const found = new Set<string>();
      for (let port = 40000; port < 40020; port++) {
        const { packet } = await node.arrive(
          `IP(src="${from}", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`,
        );
        found.add(packet.slice(60, 68));
      }
      return found;
    };
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints })], { map: { lastPort: 61999 } });
    assert((await destinations("192.168.8.9")).size > 3);
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints, affinitySeconds: 60 })], {
      map: { lastPort: 61999 },
    });
    assert.equal((await destinations("192.168.8.9")).size, 1);
  });

  await test("with Maglev a connection gets the same endpoint again, most also when another one goes; else it may not", async () => {
    const endpoints = [1, 2, 3, 4].map((host) => `10.1.9.${host}:8080`);
    /** The endpoint of each of many connections, which nothing remembers. */
    const chosen = async (port: number, endpoints: readonly string[], more: Partial<PlanText> = {}) => {
      const balanced = { nodePort: 30080, endpoints, balancing: "maglev", ...more } as const;
      await node.program([planOf({ ...balanced, name: "web" }), planOf({ nodePort: 30081, endpoints })], {
        map: { lastPort: 61999 },
      });
      const found: string[] = [];
      for (let client = 40000; client < 40100; client++) {
        const syn = `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${client}, dport=${port})`;
        found.push((await node.arrive(syn)).packet.slice(60, 68));
      }
      return found;
    };
    const shares = (found: readonly string[]) =>
      Object.values(Object.groupBy(found, (to) => to)).map((of) => of?.length ?? 0);
    const maglev = await chosen(30080, endpoints);
    assert.equal(shares(maglev).length, 4);
    assert(Math.min(...shares(maglev)) > 12, `${shares(maglev)}`);
    assert.deepEqual(await chosen(30080, endpoints), maglev);
    const random = await chosen(30081, endpoints);
    assert(differences(random, await chosen(30081, endpoints)) > 50);

    const fewer = await chosen(30080, endpoints.slice(1));
    const moved = differences(maglev, fewer) - maglev.filter((to) => to === "0a010901").length;
    assert(moved < 15, `${moved} moved although their endpoint is still there`);

    // With affinity all of a client's do, whichever node they come to.
    const affinity = await chosen(30080, endpoints, { affinitySeconds: 60 });
    assert.equal(shares(affinity).length, 1);
    assert.deepEqual(await chosen(30080, endpoints, { affinitySeconds: 60 }), affinity);
  });

  await test("connections go on where they are when their service is balanced in another way", async () => {
    const endpoints = [1, 2, 3, 4].map((host) => `10.1.9.${host}:8080`);
    for (const protocol of ["TCP", "UDP"] as const) {
      const served = (balancing?: Balancing) => [planOf({ protocol, nodePort: 30080, endpoints, balancing })];
      const found = async () => {
        const to: string[] = [];
        for (let port = 40000; port < 40020; port++) {
          const packet = `IP(src="192.168.8.9", dst="192.168.8.1")/${protocol}(sport=${port}, dport=30080)`;
          to.push((await node.arrive(packet)).packet.slice(60, 68));
        }
        return to;
      };
      await node.program(served(), { map: { lastPort: 61999 } });
      const before = await found();
      await node.reprogram(served("maglev"), { map: { lastPort: 61999 } });
      assert.deepEqual(await found(), before, protocol);
    }
  });

  await test("no port is given twice, and when there is none left the connection is dropped", async () => {
    await node.program([nodePort], { map: { lastPort: 61003 } });
    const ports = new Set<string>();
    for (let port = 40000; port < 40004; port++) {
      const { packet } = await node.arrive(
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${port}, dport=30080)`,
      );
      ports.add(packet.slice(68, 72));
    }
    assert.equal(ports.size, 4);
    const before = (await node.state()).drops[4]!;
    await node.isDropped(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40004, dport=30080)`);
    const { drops, flows } = await node.state();
    assert.equal(drops[4], before + 1);
    assert.equal(flows, 8);
  });

  await test("two services with one endpoint: the client's port changes where it would be the same", async () => {
    const both = ["10.96.0.10:80", "10.96.0.11:80"];
    await node.program(
      both.map((clusterIP, index) =>
        planOf({ name: `web-${index}`, clusterIP, endpoints: ["10.1.0.1:8080"] })
      ),
    );
    await node.becomes(
      `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=40000, dport=80)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=40000, dport=8080)`,
      { at: "pod0" },
    );
    await node.becomes(
      `IP(src="10.1.0.2", dst="10.96.0.11")/TCP(sport=40000, dport=80)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
      { at: "pod0" },
    );
  });

  await test("SCTP keeps its ports; where it can not, it is dropped", async () => {
    await node.program([
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] }),
      planOf({ name: "other", protocol: "SCTP", clusterIP: "10.96.0.11:80", endpoints: ["10.1.0.1:8080"] }),
    ]);
    await node.becomes(
      `IP(src="192.168.8.9", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/SCTP(sport=40000, dport=80)/SCTPChunkInit()`,
    );
    await node.isDropped(
      `IP(src="192.168.8.9", dst="10.96.0.11")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`,
    );
  });

  await test("a closed connection's tuple begins anew with the next SYN, and its endpoint is chosen again", async () => {
    const [before, after] = ["10.1.0.1:8080", "10.1.0.2:8080"].map((endpoint) =>
      planOf({ nodePort: 30080, endpoints: [endpoint] })
    );
    await node.program([before!]);
    const packet = (flags: string) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="${flags}")`;
    const translated = (to: string, flags: string) =>
      `IP(src="192.168.8.1", dst="${to}", ttl=63)/TCP(sport=61000, dport=8080, flags="${flags}")`;
    await node.becomes(packet("S"), translated("10.1.0.1", "S"));
    await node.reprogram([after!]);
    // It goes on although its endpoint is gone from the list: only what is new goes elsewhere.
    await node.becomes(packet("A"), translated("10.1.0.1", "A"));
    await node.becomes(packet("S"), translated("10.1.0.1", "S"));
    await node.becomes(packet("RA"), translated("10.1.0.1", "RA"));
    await node.becomes(packet("S"), translated("10.1.0.2", "S"));
    assert.equal((await node.state()).flows, 2);
  });

  await test("who calls an endpoint itself, from the port of a closed connection through a service, hears the endpoint", async () => {
    await node.program([planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.1:8080@here"] })]);
    const throughService = (flags: string) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="${flags}")`;
    const direct = (flags: string, ttl = 64) =>
      `IP(src="192.168.8.9", dst="10.1.0.1", ttl=${ttl})/TCP(sport=40000, dport=8080, flags="${flags}")`;
    const answer = `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=40000, flags="SA")`;
    const translated =
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`;
    await node.becomes(throughService("S"), direct("S", 63));
    // As long as that connection lasts, its answers come first.
    await node.isLeftAlone(direct("S"));
    await node.becomes(answer, translated, { at: "pod0" });
    await node.becomes(throughService("RA"), direct("RA", 63));
    await node.isLeftAlone(direct("A"));
    assert.equal((await node.state()).flows, 2);
    await node.isLeftAlone(direct("S"));
    await node.isLeftAlone(answer, { at: "pod0" });
    assert.equal((await node.state()).flows, 0);
  });

  await test("a UDP flow leaves an endpoint that is gone", async () => {
    const withEndpoint = (endpoint: string) =>
      planOf({ protocol: "UDP", clusterIP: "10.96.0.10:53", endpoints: [endpoint] });
    await node.program([withEndpoint("10.1.0.1:53")]);
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.becomes(packet, `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=53)`);
    await node.reprogram([withEndpoint("10.1.0.2:53")]);
    await node.becomes(packet, `IP(src="192.168.8.1", dst="10.1.0.2", ttl=63)/UDP(sport=61000, dport=53)`);
    await node.reprogram([]);
    await node.isDropped(packet);
    assert.equal((await node.state()).flows, 0);
  });

  await test("a UDP flow is forgotten when it was quiet for too long, a TCP connection that nobody answers too", async () => {
    const endpoints = ["10.1.0.1:5353"];
    const services = [dns, planOf({ clusterIP: "10.96.0.11:80", endpoints })];
    await node.program(services, { map: { udpSeconds: 1, lastPort: 61001 } });
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.arrive(packet);
    await node.arrive(packet.replace("5000", "5001"));
    // Both ports are taken, as long as they are.
    await node.isDropped(packet.replace("5000", "5002"));
    await new Promise((resolve) => setTimeout(resolve, 1200));
    assert.equal((await node.arrive(packet.replace("5000", "5002"))).action, "redirect");
    assert.equal((await node.state()).halves, 0);
  });

  await test("both directions of an answered UDP flow keep it", async () => {
    await node.program([dns], { map: { udpSeconds: 1 } });
    await node.arrive(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    await node.arrive(`IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`, { at: "pod0" });
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=5000)`,
      { at: "pod0" },
    );
  });

  await test("what no service port takes of a service's address is refused, of others in the range dropped", async () => {
    await node.program([nodePort]);
    await node.isAnswered(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=3)/TCP(sport=40000, dport=81, seq=1)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=3)/TCP(sport=81, dport=40000, flags="RA", seq=0, ack=2, window=0)`,
    );
    await node.isDropped(`IP(src="192.168.8.9", dst="10.96.0.77")/TCP(sport=40000, dport=80)`);
  });

  await test("frames for other machines, which a bridge passes on, are left alone", async () => {
    await node.program([nodePort]);
    const { action } = await node.arriveFrame(
      `Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:77")/` +
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`,
    );
    assert.equal(action, "pass");
  });

  await test("what does not begin a connection: nothing is remembered of it", async () => {
    await node.program([nodePort, dns]);
    await node.isLeftAlone(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="RA")`,
    );
    await node.isLeftAlone(`IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`, {
      at: "pod0",
    });
    assert.equal((await node.state()).flows, 0);
  });

  await test("padding of the link counts for nothing", async () => {
    await node.program([planOf({ nodePort: 30080, external: "reject", endpoints: [] })]);
    await node.isAnswered(
      `IP(src="192.168.8.9", dst="192.168.8.1", id=3)/TCP(sport=40000, dport=30080, seq=1000)/Padding(b"\\0" * 6)`,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=3)/TCP(sport=30080, dport=40000, flags="RA", seq=0, ack=1001, window=0)`,
    );
  });

  await test("packets that are none of ours, or make no sense, go to the stack", async () => {
    await node.program([nodePort, nodePort6, dns]);
    const syn = `TCP(sport=40000, dport=30080)`;
    for (
      const packet of [
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=22)`,
        `IP(src="192.168.8.9", dst="10.1.0.1")/TCP(sport=40000, dport=8080)`,
        `IP(src="192.168.8.9", dst="192.168.8.1", version=5)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", ihl=4)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", ihl=15, len=40)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", len=400)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", proto=6)/b"too short for TCP"`,
        `IP(src="192.168.8.9", dst="10.96.0.10", proto=17)/b"short"`,
        `IP(src="192.168.8.9", dst="192.168.8.1", proto=47)/b"GRE is no transport"`,
        `IP(src="127.0.0.1", dst="192.168.8.1")/${syn}`,
        `IP(src="192.168.8.1", dst="192.168.8.1")/${syn}`,
        `IP(src="224.0.0.1", dst="192.168.8.1")/${syn}`,
        `IP(src="192.168.8.9", dst="127.0.0.1")/${syn}`,
        `IPv6(src="::ffff:192.168.8.9", dst="::ffff:192.168.8.1")/${syn}`,
        `IPv6(src="fd00:8::9", dst="fd00:8::1", plen=4000)/${syn}`,
        `IPv6(src="::1", dst="fd00:8::1")/${syn}`,
        `ARP()`,
      ]
    ) await node.isLeftAlone(packet);
    assert.equal((await node.state()).flows, 0);
  });
}

const nodePort = planOf({ nodePort: 30080, clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080@here"] });
const nodePort6 = planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1::1]:8080@here"] });
const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  endpoints: ["10.1.0.1:5353@here"],
});
const dns6 = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "[fd00:96::10]:53",
  endpoints: ["[fd00:1::1]:5353@here"],
});

function differences(a: readonly string[], b: readonly string[]): number {
  return a.filter((value, index) => value !== b[index]).length;
}

/** A fragment of 24 bytes of a packet whose checksum is over the whole. */
function fragment(packet: string, part: number): string {
  return `fragment(${packet}, fragsize=24)[${part}]`;
}

function fragment6(packet: string, part: number): string {
  return `fragment6(${packet}, 1280)[${part}]`;
}
