import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import type { Cases } from "./packet_node.ts";

const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  endpoints: ["10.1.0.1:5353"],
});
const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080"] });
const web6 = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });
const onTheNode = planOf({ protocol: "UDP", nodePort: 30053, endpoints: ["192.168.8.1:5353@here"] });

const fromPod = { at: "pod0" };
const question = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
/** Without checksums, which are another matter. */
const quoted = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353, chksum=0)`;
const restored = `IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53, chksum=0)`;

/** Errors of others about translated packets, and what is said to who sent what cannot go on. */
export const errorCases: Cases = {
  "every kind of error is turned inside out": async (node) => {
    await node.program([dns, web]);
    await node.arrive(question);
    for (const error of ["type=3, code=1", "type=3, code=13", "type=11, code=0", "type=12, code=0, ptr=20"]) {
      await node.becomes(
        `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(${error})/${quoted}`,
        `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(${error})/${restored}`,
        fromPod,
      );
    }
    // Of TCP no more than eight bytes need to be there.
    await node.program([web]);
    await node.arrive(`IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`);
    const eight = (ports: string) => `bytes(TCP(${ports}))[:8]`;
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=11)/IP(src="192.168.8.1", dst="10.1.0.1", proto=6, len=40)/${
        eight("sport=61000, dport=8080")
      }`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=11)/IP(src="192.168.8.9", dst="10.96.0.10", proto=6, len=40)/${
        eight("sport=40000, dport=80")
      }`,
      fromPod,
    );
  },

  "every kind of error is turned inside out (IPv6)": async (node) => {
    await node.program([web6]);
    await node.arrive(`IPv6(src="fd00:8::9", dst="fd00:96::10")/TCP(sport=40000, dport=80)`);
    for (
      const error of [
        "ICMPv6DestUnreach()",
        "ICMPv6PacketTooBig()",
        "ICMPv6TimeExceeded()",
        "ICMPv6ParamProblem()",
      ]
    ) {
      const tcp = (ports: string) => `bytes(TCP(${ports}))[:8]`;
      await node.becomes(
        `IPv6(src="fd00:1::1", dst="fd00:8::1")/${error}/IPv6(src="fd00:8::1", dst="fd00:1::1", nh=6, plen=20)/${
          tcp("sport=61000, dport=8080")
        }`,
        `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=63)/${error}/IPv6(src="fd00:8::9", dst="fd00:96::10", nh=6, plen=20)/${
          tcp("sport=40000, dport=80")
        }`,
        fromPod,
      );
    }
  },

  "an error about SCTP, of which eight bytes are quoted": async (node) => {
    await node.program([
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] }),
    ]);
    await node.arrive(`IP(src="192.168.8.9", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`);
    const init = `bytes(SCTP(sport=40000, dport=80, chksum=7))[:8]`;
    await node.becomes(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=11)/IP(src="192.168.8.1", dst="10.1.0.1", proto=132, len=60)/${init}`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=11)/IP(src="192.168.8.9", dst="10.96.0.10", proto=132, len=60)/${init}`,
      fromPod,
    );
  },

  "errors that are not about a packet of ours": async (node) => {
    await node.program([dns]);
    await node.arrive(question);
    for (
      const about of [
        `IP(src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61001, dport=5353)`,
        `IP(src="192.168.8.1", dst="10.1.0.1")/ICMP()`,
        `IP(src="192.168.8.1", dst="10.1.0.1")/ICMP(type=3)/IP()/UDP()`,
        `IP(src="192.168.8.1", dst="10.1.0.1", frag=2, proto=17)/b"12345678"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", proto=17)/b"1234567"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ihl=3)/UDP(sport=61000, dport=5353)`,
        `IPv6(src="fd00:8::1", dst="fd00:1::1")/UDP(sport=61000, dport=5353)`,
        `b""`,
      ]
    ) await node.isLeftAlone(`IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/${about}`, fromPod);
  },

  "an error about the answer to who kept its address comes from who sent it": async (node) => {
    await node.program([dns]);
    await node.arrive(`IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`, fromPod);
    await node.becomes(
      `IP(src="10.1.0.7", dst="10.96.0.10")/ICMP(type=3, code=1)/IP(src="10.96.0.10", dst="10.1.0.2")/UDP(sport=53, dport=5000, chksum=0)`,
      `IP(src="10.1.0.7", dst="10.1.0.1", ttl=63)/ICMP(type=3, code=1)/IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=5000, chksum=0)`,
      fromPod,
    );
  },

  "an endpoint on the node itself: errors to it and from it, and fragments of its answers": async (node) => {
    await node.program([onTheNode]);
    await node.arrive(`IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=30053)`);
    await node.becomes(
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=1)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=30053, dport=5000, chksum=0)`,
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=1)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=5353, dport=5000, chksum=0)`,
      { action: "pass" },
    );
    const error = (port: number, from = "192.168.8.9", sport = 5000) =>
      `IP(src="192.168.8.1", dst="${from}")/ICMP(type=3, code=3)/IP(src="${from}", dst="192.168.8.1")/UDP(sport=${sport}, dport=${port}, chksum=0)`;
    await node.leavesAs(error(5353), error(30053));
    await node.leavesAs(error(5353, "192.168.8.10"), error(5353, "192.168.8.10"));
    const part = (port: string, text: string) =>
      `IP(src="192.168.8.1", dst="192.168.8.9", id=7, ${text})/${port}(b"x" * 16)`;
    const first = (port: number) => part(`UDP(sport=${port}, dport=5000, len=40, chksum=0)/`, `flags="MF"`);
    await node.leavesAs(first(5353), first(30053));
    const later = part("", "frag=3, proto=17");
    await node.leavesAs(later, later);
    for (
      const other of [
        `IP(src="192.168.8.1", dst="192.168.8.9", id=8, frag=3, proto=17)/b"unknown."`,
        `IP(src="192.168.8.1", dst="192.168.8.9")/ICMP(type=8)`,
        `ARP()`,
        // In the other direction, as it may leave by a bridge.
        `IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=30053)`,
      ]
    ) await node.leavesAs(other, other);
  },

  "what a pod answers through the stack is left alone where it leaves": async (node) => {
    await node.program([dns]);
    await node.arrive(question);
    for (
      const packet of [
        `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
        `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/${quoted}`,
      ]
    ) await node.leavesAs(packet, packet);
  },

  "SCTP of an endpoint on the node itself whose port is another": async (node) => {
    await node.program([planOf({ protocol: "SCTP", nodePort: 30080, endpoints: ["192.168.8.1:80@here"] })]);
    await node.isDropped(
      `IP(src="192.168.8.9", dst="192.168.8.1")/SCTP(sport=40000, dport=30080)/SCTPChunkInit()`,
    );
    const answer = `IP(src="192.168.8.1", dst="192.168.8.9")/SCTP(sport=80, dport=40000)/SCTPChunkInit()`;
    assert.equal((await node.leave(answer)).action, "drop");
  },

  "errors that cannot go on say nothing": async (node) => {
    const about = (client: string, from = `IP(src="10.1.0.1", dst="192.168.8.1"`, more = "") =>
      `${from})/ICMP(type=3, code=3)/${quoted}${more}`.replace("192.168.8.9", client);
    for (
      const [client, error] of [
        ["10.1.6.9", about("10.1.6.9")],
        ["10.1.7.9", about("10.1.7.9", undefined, `/(b"x" * 1400)`)],
        ["192.168.8.9", about("192.168.8.9", `IP(src="10.1.0.1", dst="192.168.8.1", ttl=1`)],
      ] as const
    ) {
      await node.program([dns]);
      assert.equal((await node.arrive(question.replace("192.168.8.9", client))).action, "redirect");
      await node.isDropped(error, fromPod);
    }
  },

  "a packet at its last hop (IPv6)": async (node) => {
    await node.program([web6]);
    const packet = `IPv6(src="fd00:8::9", dst="fd00:96::10", hlim=1)/TCP(sport=40000, dport=80, chksum=9)`;
    await node.isAnswered(
      packet,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6TimeExceeded()/${packet}`,
    );
  },

  "nothing is said of later fragments": async (node) => {
    await node.program([dns]);
    await node.arrive(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=7, flags="MF")/UDP(sport=5000, dport=53, chksum=0)/(b"x" * 16)`,
    );
    await node.isDropped(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=7, ttl=1, frag=3, proto=17)/(b"x" * 16)`,
    );
  },

  "refusals quote IPv4 options, and as many extension headers as there is room for": async (node) => {
    await node.program([
      planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.10:53", internal: "reject", endpoints: [] }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "[fd00:96::10]:53",
        internal: "reject",
        endpoints: [],
      }),
      planOf({
        name: "sctp",
        protocol: "SCTP",
        clusterIP: "10.96.0.11:53",
        internal: "reject",
        endpoints: [],
      }),
    ]);
    const options = `options=[IPOption(b"\\x44\\x28" + b"\\0" * 38)]`;
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10", ${options})/UDP(sport=5000, dport=53, chksum=7)`;
    await node.isAnswered(
      packet,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/${packet}`,
    );
    const headers = (count: number) => "IPv6ExtHdrDestOpt()/".repeat(count);
    const packet6 = (count: number) =>
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/${headers(count)}UDP(sport=5000, dport=53, chksum=7)`;
    await node.isAnswered(
      packet6(6),
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6DestUnreach(code=4)/${packet6(6)}`,
    );
    await node.isDropped(
      packet6(5).replace("IPv6ExtHdrDestOpt()", `IPv6ExtHdrDestOpt(options=[PadN(optdata=b"x" * 20)])`),
    );
    const init = `IP(src="192.168.8.9", dst="10.96.0.11", len=32)/SCTP(sport=5000, dport=53)`;
    await node.isAnswered(
      init,
      `IP(src="10.96.0.11", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(bytes(${init})[:28])`,
    );
  },

  "resets for every kind of segment": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", internal: "reject", endpoints: [] })]);
    const from = `IP(src="192.168.8.9", dst="10.96.0.10", id=3)/TCP(sport=40000, dport=80, seq=1000, ack=77`;
    const reset = `IP(src="10.96.0.10", dst="192.168.8.9", id=3)/TCP(sport=80, dport=40000, window=0`;
    for (
      const [segment, answer] of [
        [`flags="S")`, `flags="RA", seq=0, ack=1001)`],
        [`flags="S", options=[("MSS", 1460)])/b"fast"`, `flags="RA", seq=0, ack=1005)`],
        [`flags="F")/b"last"`, `flags="RA", seq=0, ack=1005)`],
        [`flags="")/b"odd"`, `flags="RA", seq=0, ack=1003)`],
        [`flags="SF")`, `flags="RA", seq=0, ack=1002)`],
        [`flags="A")`, `flags="R", seq=77)`],
        [`flags="SA")`, `flags="R", seq=77)`],
        [`flags="FPUA")/b"x"`, `flags="R", seq=77)`],
      ]
    ) await node.isAnswered(`${from}, ${segment}`, `${reset}, ${answer}`);
    await node.isLeftAlone(`${from}, flags="R")`);
    await node.isLeftAlone(`${from}, flags="RA")`);
  },
};
