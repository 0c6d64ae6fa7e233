import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, nodePort, nodePort6, web6 } from "../support/packets/plans.ts";

const throughStack = { map: { throughStack: true } };
const fromPod = { device: "pod0", action: "pass" };
const pass = { action: "pass" };

/**
 * Packets that the stack forwards. What it gets has the addresses of the client and of the endpoint; egress translates
 * the rest.
 */
export const throughStackCases: Cases = {
  "a masqueraded connection through the stack, and its replies": async (node) => {
    await node.program([nodePort, nodePort6], throughStack);
    const directions = [
      [
        `IP(src="192.168.8.9", dst="192.168.8.1"`,
        `IP(src="192.168.8.9", dst="10.1.0.1"`,
        `IP(src="192.168.8.1", dst="10.1.0.1"`,
      ],
      [
        `IPv6(src="fd00:8::9", dst="fd00:8::1"`,
        `IPv6(src="fd00:8::9", dst="fd00:1::1"`,
        `IPv6(src="fd00:8::1", dst="fd00:1::1"`,
      ],
    ] as const;
    for (const [request, inner, outer] of directions) {
      // Twice, because the second packet finds what the first one stored.
      for (const flags of ["S", "A"]) {
        const segment = `TCP(sport=40000, dport=8080, flags="${flags}")`;
        const leaving = `TCP(sport=61000, dport=8080, flags="${flags}")`;
        await node.translates(
          `${request})/TCP(sport=40000, dport=30080, flags="${flags}")`,
          `${inner})/${segment}`,
          pass,
        );
        await node.translatesForwarded(`${inner})/${segment}`, `${outer})/${leaving}`);
      }
    }
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA")`,
      `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=40000, flags="SA")`,
      fromPod,
    );
    await node.translatesForwarded(
      `IP(src="10.1.0.1", dst="192.168.8.9", ttl=63)/TCP(sport=8080, dport=40000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`,
    );
    await node.translates(
      `IPv6(src="fd00:1::1", dst="fd00:8::1")/TCP(sport=8080, dport=61000, flags="SA")`,
      `IPv6(src="fd00:1::1", dst="fd00:8::9")/TCP(sport=8080, dport=40000, flags="SA")`,
      fromPod,
    );
    await node.translatesForwarded(
      `IPv6(src="fd00:1::1", dst="fd00:8::9")/TCP(sport=8080, dport=40000, flags="SA")`,
      `IPv6(src="fd00:8::1", dst="fd00:8::9")/TCP(sport=30080, dport=40000, flags="SA")`,
    );
  },

  "a pod's connection through the stack keeps its address, and its replies get the service's": async (
    node,
  ) => {
    await node.program([dns], throughStack);
    const request = `IP(src="10.1.0.2", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`;
    await node.translates(`IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`, request, fromPod);
    await node.translatesForwarded(request, request);
    const reply = `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=5000)`;
    await node.translates(reply, reply, fromPod);
    await node.translatesForwarded(reply, `IP(src="10.96.0.10", dst="10.1.0.2")/UDP(sport=53, dport=5000)`);
  },

  "replies that netfilter has masqueraded and translated back leave with the service's address": async (
    node,
  ) => {
    await node.program([dns], throughStack);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    await node.translatesForwarded(
      `IP(src="10.1.0.1", dst="192.168.8.9")/UDP(sport=5353, dport=5000)`,
      `IP(src="10.96.0.10", dst="192.168.8.9")/UDP(sport=53, dport=5000)`,
    );
  },

  "egress ignores packets whose flow is gone or has another endpoint": async (node) => {
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    const inner = `IP(src="192.168.8.9", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`;
    await node.program([dns], throughStack);
    await node.ingress(packet);
    await node.evict("requests");
    await node.translatesForwarded(inner, inner);
    const other = planOf({
      name: "dns",
      protocol: "UDP",
      clusterIP: "10.96.0.10:53",
      endpoints: ["10.1.0.2:5353"],
    });
    await node.reprogram([other], throughStack);
    await node.ingress(packet);
    await node.translatesForwarded(inner, inner);
  },

  "a client with one port for two services that have the same endpoint": async (node) => {
    const other = planOf({
      name: "other",
      protocol: "UDP",
      clusterIP: "10.96.0.11:53",
      endpoints: ["10.1.0.1:5353"],
    });
    await node.program([dns, other], throughStack);
    const inner = `IP(src="10.1.0.2", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`;
    for (
      const [service, port] of [["10.96.0.10", 5000], ["10.96.0.11", 61000], ["10.96.0.10", 5000]] as const
    ) {
      await node.translates(`IP(src="10.1.0.2", dst="${service}")/UDP(sport=5000, dport=53)`, inner, fromPod);
      await node.translatesForwarded(
        inner,
        `IP(src="10.1.0.2", dst="10.1.0.1")/UDP(sport=${port}, dport=5353)`,
      );
      const reply = (port: number) => `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=${port})`;
      await node.translates(reply(port), reply(5000), fromPod);
      await node.translatesForwarded(
        reply(5000),
        `IP(src="${service}", dst="10.1.0.2")/UDP(sport=53, dport=5000)`,
      );
    }
  },

  "a direct connection to an endpoint, from the port of an earlier masqueraded one that nobody uses": async (
    node,
  ) => {
    const throughService = (segment: string) =>
      node.ingress(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, ${segment})`);
    const direct = `IP(src="192.168.8.9", dst="10.1.0.1")/TCP(sport=40000, dport=8080, flags="S")`;
    const answer = `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=40000, flags="SA")`;
    const ends = [() => throughService(`flags="R", seq=1`), () => node.age(121)];
    for (const end of ends) {
      await node.program([nodePort], throughStack);
      await throughService(`flags="S"`);
      await end();
      await node.ignores(direct);
      await node.translatesForwarded(direct, direct);
      await node.ignores(answer, { device: "pod0" });
      await node.translatesForwarded(answer, answer);
      assert.equal((await node.state()).flows, 0);
    }
    // A connection that lasts keeps its tuple.
    await throughService(`flags="S"`);
    await node.ignores(direct);
    assert.equal((await node.state()).flows, 2);
  },

  "fragments through the stack": async (node) => {
    await node.program([dns], throughStack);
    const fragments = (addresses: string, ports: string) => [
      `IP(${addresses}, id=7, flags="MF")/UDP(${ports}, len=40, chksum=0)/(b"x" * 16)`,
      `IP(${addresses}, id=7, frag=3, proto=17)/(b"x" * 16)`,
    ];
    const arriving = fragments(`src="192.168.8.9", dst="10.96.0.10"`, `sport=5000, dport=53`);
    const inner = fragments(`src="192.168.8.9", dst="10.1.0.1"`, `sport=5000, dport=5353`);
    const leaving = fragments(`src="192.168.8.1", dst="10.1.0.1"`, `sport=61000, dport=5353`);
    for (const [index, fragment] of arriving.entries()) await node.translates(fragment, inner[index]!, pass);
    for (const [index, fragment] of inner.entries()) {
      await node.translatesForwarded(fragment, leaving[index]!);
    }
  },

  "ICMP errors through the stack, to the client and to the endpoint": async (node) => {
    await node.program([dns], throughStack);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    const error = (source: string, destination: string, quoted: string, ports: string) =>
      `IP(src="${source}", dst="${destination}")/ICMP(type=3, code=1)/IP(${quoted})/UDP(${ports}, chksum=0)`;
    const inner = error(
      "10.1.0.7",
      "192.168.8.9",
      `src="192.168.8.9", dst="10.1.0.1"`,
      `sport=5000, dport=5353`,
    );
    await node.translates(
      error("10.1.0.7", "192.168.8.1", `src="192.168.8.1", dst="10.1.0.1"`, `sport=61000, dport=5353`),
      inner,
      fromPod,
    );
    // An error that the stack sends itself has the same form.
    await node.translatesForwarded(
      inner,
      error("10.96.0.10", "192.168.8.9", `src="192.168.8.9", dst="10.96.0.10"`, `sport=5000, dport=53`),
    );
    const toEndpoint = error(
      "192.168.8.7",
      "10.1.0.1",
      `src="10.1.0.1", dst="192.168.8.9"`,
      `sport=5353, dport=5000`,
    );
    await node.translates(
      error("192.168.8.7", "10.96.0.10", `src="10.96.0.10", dst="192.168.8.9"`, `sport=53, dport=5000`),
      toEndpoint,
      pass,
    );
    await node.translatesForwarded(
      toEndpoint,
      error("192.168.8.1", "10.1.0.1", `src="10.1.0.1", dst="192.168.8.1"`, `sport=5353, dport=61000`),
    );
    const unknown = error(
      "10.1.0.7",
      "192.168.8.9",
      `src="192.168.8.9", dst="10.1.0.1"`,
      `sport=5002, dport=5353`,
    );
    const ping =
      `IP(src="10.1.0.7", dst="192.168.8.9")/ICMP(type=3, code=1)/IP(src="192.168.8.9", dst="10.1.0.1")/ICMP()`;
    for (const packet of [unknown, ping]) await node.translatesForwarded(packet, packet);
  },

  "from a bridge, packets whose addresses change arrive once more": async (node) => {
    const again = { device: "pod0", action: "redirect" };
    await node.program([dns], { ...throughStack, devices: [{ name: "pod0", bridge: "pod0" }] });
    const request = (source: string) => `IP(src="${source}", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    const inner = (source: string) => `IP(src="${source}", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`;
    await node.translates(request("10.1.0.2"), inner("10.1.0.2"), again);
    const reply = (to: string) => `IP(src="10.1.0.1", dst="${to}")/UDP(sport=5353, dport=5000)`;
    await node.translates(reply("10.1.0.2"), reply("10.1.0.2"), fromPod);
    await node.translates(request("192.168.8.9"), inner("192.168.8.9"), pass);
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
      reply("192.168.8.9"),
      again,
    );
    const error = (to: string, quoted: string) =>
      `IP(src="10.1.0.7", dst="${to}")/ICMP(type=3, code=1)/IP(${quoted}`;
    await node.translates(
      error("192.168.8.1", `src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61000, dport=5353, chksum=0)`),
      error("192.168.8.9", `src="192.168.8.9", dst="10.1.0.1")/UDP(sport=5000, dport=5353, chksum=0)`),
      again,
    );
  },

  "an unroutable endpoint, or one behind a route that encapsulates, is left to the stack": async (node) => {
    for (const endpoint of ["10.1.6.1", "10.1.5.1", "10.1.4.1", "10.1.3.1"]) {
      await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: [`${endpoint}:8080`] })]);
      await node.translates(
        `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`,
        `IP(src="192.168.8.9", dst="${endpoint}")/TCP(sport=40000, dport=8080)`,
        pass,
      );
    }
  },

  "a packet without DF that is larger than the route's MTU is fragmented by the stack": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.7.1:8080"] })]);
    await node.translates(
      `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 1400)`,
      `IP(src="192.168.8.9", dst="10.1.7.1")/TCP(sport=40000, dport=8080, flags="PA")/(b"x" * 1400)`,
      pass,
    );
    await node.translatesForwarded(
      `IP(src="192.168.8.9", dst="10.1.7.1", ttl=63)/TCP(sport=40000, dport=8080, flags="PA")/(b"x" * 1300)`,
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63)/TCP(sport=61000, dport=8080, flags="PA")/(b"x" * 1300)`,
    );
  },

  "with rp_filter, a flow whose source is not reached by its device is left to the stack": async (node) => {
    const devices = [{ name: "pod0", hasReversePathFilter: true }, { name: "eth0" }];
    const packet = (source: string) => `IP(src="${source}", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    const inner = (source: string) => `IP(src="${source}", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`;
    const unmasqueraded = { node: { localTraffic: { mode: "none" } }, devices } as const;
    // Through eth0, unreachable, and the address of another pod of the device.
    for (const source of ["192.168.8.9", "10.1.6.1"]) {
      await node.program([dns], unmasqueraded);
      await node.translates(packet(source), inner(source), fromPod);
      // Later packets, too, and the replies.
      await node.translates(packet(source), inner(source), fromPod);
      const reply = `IP(src="10.1.0.1", dst="${source}")/UDP(sport=5353, dport=5000)`;
      await node.translates(reply, reply, fromPod);
    }
    await node.translates(
      packet("10.1.0.2"),
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
      { device: "pod0" },
    );
    // A device without rp_filter, and IPv6, which has none.
    await node.program([dns], { ...unmasqueraded, devices: [{ name: "pod0" }] });
    await node.translates(
      packet("192.168.8.9"),
      `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
      { device: "pod0" },
    );
    await node.program([web6], { ...unmasqueraded, devices });
    await node.translates(
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/TCP(sport=40000, dport=80)`,
      `IPv6(src="fd00:8::9", dst="fd00:1::1", hlim=63)/TCP(sport=40000, dport=8080)`,
      { device: "pod0" },
    );
  },

  "with rp_filter, packets of a flow and ICMP errors from a device that does not reach their source": async (
    node,
  ) => {
    const devices = ["pod0", "eth0"].map((name) => ({ name, hasReversePathFilter: true }));
    await node.program([dns], { devices });
    const fromEth = pass;
    const request = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.ingress(request);
    const reply = `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`;
    const forgedReply = `IP(src="10.1.0.1", dst="192.168.8.9")/UDP(sport=5353, dport=5000)`;
    await node.translates(reply, forgedReply, fromEth);
    // The device of the endpoint, which is remembered, and then another one again.
    for (let count = 0; count < 2; count++) {
      const translated = `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=5000)`;
      await node.translates(reply, translated, { device: "pod0" });
      await node.translates(reply, forgedReply, fromEth);
    }
    await node.translates(
      request,
      `IP(src="192.168.8.9", dst="10.1.0.1")/UDP(sport=5000, dport=5353)`,
      fromPod,
    );
    await node.translates(
      `IP(src="10.1.0.7", dst="192.168.8.1")/ICMP(type=3, code=1)/IP(src="192.168.8.1", dst="10.1.0.1")` +
        `/UDP(sport=61000, dport=5353)`,
      `IP(src="10.1.0.7", dst="192.168.8.9")/ICMP(type=3, code=1)/IP(src="192.168.8.9", dst="10.1.0.1")` +
        `/UDP(sport=5000, dport=5353)`,
      fromEth,
    );
  },
};
