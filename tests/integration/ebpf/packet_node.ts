import assert from "node:assert/strict";
import type { NodeSettings, ServicePortPlan } from "../../../core/model/plan.ts";
import { addressOf, settingsOf } from "../../backends/plans.ts";
import { NetworkNamespace, run } from "../network_namespace.ts";
import { LineProcess } from "./line_process.ts";
import type { PacketProgram, Request } from "./packet_driver.ts";

const root = new URL("../../../", import.meta.url).pathname;

/**
 * A node that packets are handed to one by one: its interfaces and routes are real, its programs are attached to
 * nothing. Packets are expressions of Scapy, which knows nothing of us.
 *
 *   outside 192.168.8.9, router 192.168.8.2 ── eth0 192.168.8.1 ── pod0 ── pods 10.1.0.1, 10.1.0.2
 *   pods of other nodes: 10.1.9.0/24 by the router; 10.1.7.0/24 by the router, in packets of at most 1400 bytes
 */
export class PacketNode implements AsyncDisposable {
  readonly #driver: LineProcess;
  readonly #scapy: LineProcess;
  readonly #namespace: NetworkNamespace;

  private constructor(namespace: NetworkNamespace, driver: LineProcess, scapy: LineProcess) {
    this.#namespace = namespace;
    this.#driver = driver;
    this.#scapy = scapy;
  }

  static async make(): Promise<PacketNode> {
    await run(`${root}scripts/bpf.sh`);
    await run(`${root}scripts/scapy.sh`);
    const namespace = await NetworkNamespace.make();
    try {
      for (const line of wiring) await namespace.run("ip", ...line.split(" "));
      await namespace.run("sysctl", "-qew", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
      const deno = [
        Deno.execPath(),
        "run",
        "--quiet",
        "-A",
        `${root}tests/integration/ebpf/packet_driver.ts`,
      ];
      const driver = new LineProcess("ip", ["netns", "exec", namespace.name, ...deno]);
      const cache = Deno.env.get("PROXY_CACHE") ?? `${Deno.env.get("HOME")}/.cache/proxy`;
      const scapy = new LineProcess(`${cache}/scapy/bin/python`, [
        `${root}tests/integration/ebpf/packets.py`,
      ]);
      return new PacketNode(namespace, driver, scapy);
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Puts services in force, with nothing remembered of others. */
  async program(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<void> {
    const settings = families.map((family) => ({
      ...settingsOf(family),
      ...addresses[family],
      ...changes.node,
    }));
    await this.#ask({
      do: "program",
      settings,
      plans,
      changes: { firstPort: 61000, lastPort: 61000, ...changes.map },
    });
    if (changes.keep) return;
    await this.#ask({ do: "forget", map: "conntrack" });
    await this.#ask({ do: "forget", map: "affinity" });
  }

  /** Other plans or settings for the flows that are remembered. */
  reprogram(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<void> {
    return this.program(plans, { ...changes, keep: true });
  }

  /** Hands over a packet; `what` is an expression without the Ethernet header. */
  async arrive(
    what: string,
    { at = "eth0", program = "arrive_ethernet" as PacketProgram } = {},
  ): Promise<Arrived> {
    const { action, packet } = await this.#ask({
      do: "run",
      program,
      device: at,
      packet: await this.#build(`${link[at]}/${what}`),
    });
    return { action: actions[action] ?? `${action}`, packet };
  }

  /** Hands over a whole frame. */
  async arriveFrame(frame: string): Promise<Arrived> {
    const request = {
      do: "run",
      program: "arrive_ethernet",
      device: "eth0",
      packet: await this.#build(frame),
    } as const;
    const { action, packet } = await this.#ask(request);
    return { action: actions[action] ?? `${action}`, packet };
  }

  async leave(what: string): Promise<Arrived> {
    return await this.arrive(what, { program: "leave_ethernet" });
  }

  /** A packet is translated into another one: byte by byte as Scapy makes it, checksums included, and sent on. */
  async becomes(what: string, expected: string, { at = "eth0", action = "redirect" } = {}): Promise<void> {
    const arrived = await this.arrive(what, { at });
    await this.#same(arrived, `${link[at]}/${expected}`, action);
  }

  /** A packet is answered by another one, back to who sent it. */
  async isAnswered(what: string, expected: string, { at = "eth0" } = {}): Promise<void> {
    await this.#same(await this.arrive(what, { at }), `${linkBack[at]}/${expected}`, "redirect");
  }

  /** What an endpoint on the node sends is translated where it leaves. */
  async leavesAs(what: string, expected: string): Promise<void> {
    await this.#same(await this.leave(what), `${link.eth0}/${expected}`, "pass");
  }

  /** A packet goes on as it is, to the stack. */
  async isLeftAlone(what: string, options: { at?: string } = {}): Promise<void> {
    await this.becomes(what, what, { ...options, action: "pass" });
  }

  async isDropped(what: string, options: { at?: string } = {}): Promise<void> {
    assert.equal((await this.arrive(what, options)).action, "drop", what);
  }

  async build(what: string): Promise<string> {
    return await this.#build(what);
  }

  async fuzz(packets: readonly string[], seed: number, count: number): Promise<Record<number, number>> {
    const built: string[] = [];
    for (const packet of packets) built.push(await this.#build(`${link.eth0}/${packet}`));
    return (await this.#ask({ do: "fuzz", device: "eth0", packets: built, mutation: { seed, count } }))
      .counts;
  }

  /** Hands over a UDP packet without a checksum, from `count` source ports. */
  async flood(what: string, firstPort: number, count: number): Promise<void> {
    await this.#ask({
      do: "flood",
      device: "eth0",
      packet: await this.#build(`${link.eth0}/${what}`),
      firstPort,
      count,
    });
  }

  async state(): Promise<State> {
    return await this.#ask({ do: "state" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
    await this.#scapy[Symbol.asyncDispose]();
    await this.#namespace[Symbol.asyncDispose]();
  }

  // deno-lint-ignore no-explicit-any
  #ask(request: Request): Promise<any> {
    return this.#driver.ask(request);
  }

  async #build(what: string): Promise<string> {
    return (await this.#scapy.ask({ build: what })).hex;
  }

  async #same(arrived: Arrived, expected: string, action: string): Promise<void> {
    const wanted = await this.#build(expected);
    if (arrived.packet === wanted && arrived.action === action) return;
    const [got, want] = [
      await this.#scapy.ask({ show: arrived.packet }),
      await this.#scapy.ask({ show: wanted }),
    ];
    assert.fail(`${arrived.action}:\n${got.text}\nwanted, ${action}:\n${want.text}`);
  }
}

export interface Arrived {
  /** "pass", "drop", "redirect". */
  readonly action: string;
  /** In hexadecimal digits. */
  readonly packet: string;
}

export interface State {
  /** Entries of conntrack: two a flow. */
  readonly flows: number;
  /** Those of them whose other direction is missing. */
  readonly halves: number;
  readonly fragments: number;
  /** By enum drop_reason. */
  readonly drops: readonly number[];
}

interface Changes {
  readonly node?: Partial<Omit<NodeSettings, "family">>;
  readonly map?: Partial<
    { firstPort: number; lastPort: number; udpSeconds: number; tcpEstablishedSeconds: number }
  >;
  readonly keep?: boolean;
}

/** TC_ACT_*, linux/pkt_cls.h */
const actions: Readonly<Record<number, string>> = { 0xffffffff: "pass", 2: "drop", 7: "redirect" };

const families = ["IPv4", "IPv6"] as const;

const addresses = {
  IPv4: { nodePorts: "all", interfaceAddresses: ["192.168.8.1", "127.0.0.1"].map(addressOf) },
  IPv6: { nodePorts: "all", interfaceAddresses: ["fd00:8::1", "::1"].map(addressOf) },
} as const;

const ether = (source: string, destination: string) => `Ether(src="${source}", dst="${destination}")`;
const macs: Readonly<Record<string, readonly [neighbour: string, own: string]>> = {
  eth0: ["02:00:00:00:00:09", "02:00:00:00:00:01"],
  pod0: ["02:00:00:00:01:01", "02:00:00:00:01:00"],
};
const link = Object.fromEntries(
  Object.entries(macs).map(([device, [neighbour, own]]) => [device, ether(neighbour, own)]),
);
const linkBack = Object.fromEntries(
  Object.entries(macs).map(([device, [neighbour, own]]) => [device, ether(own, neighbour)]),
);

const wiring = [
  "link set lo up",
  "link add eth0 address 02:00:00:00:00:01 type veth peer name lan",
  "link add pod0 address 02:00:00:00:01:00 type veth peer name pods",
  ...["eth0", "lan", "pod0", "pods"].map((device) => `link set ${device} up`),
  "address add 192.168.8.1/24 dev eth0",
  "address add fd00:8::1/64 dev eth0 nodad",
  "route add 10.1.0.0/24 dev pod0",
  "route add fd00:1::/64 dev pod0",
  "route add 10.1.9.0/24 via 192.168.8.2",
  "route add fd00:1:9::/64 via fd00:8::2",
  "route add 10.1.7.0/24 via 192.168.8.2 mtu lock 1400",
  "route add fd00:1:7::/64 via fd00:8::2 mtu lock 1400",
];
