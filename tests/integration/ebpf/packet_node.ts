import assert from "node:assert/strict";
import type { PacketProgram } from "../../../backends/ebpf/programs/tc_attach.ts";
import type { Layer } from "../../../backends/ebpf/programs/device_messages.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { settingsOf } from "../../backends/plans.ts";
import { NetworkNamespace, run } from "../support/network_namespace.ts";
import { LineProcess } from "./line_process.ts";
import type { Device, Request } from "./packet_driver.ts";
import { addresses, families, link, linkBack, sysctls, wiring } from "./packet_topology.ts";
import type { Aggregated } from "./test_run.ts";

const root = new URL("../../../", import.meta.url).pathname;

/**
 * A node that packets are handed to one by one: its interfaces and routes are real, its programs are attached to
 * nothing unless told so. Packets are expressions of Scapy, which knows nothing of us. Its network is in packet_topology.ts.
 */
export class PacketNode implements AsyncDisposable {
  readonly #driver: LineProcess;
  readonly #scapy: LineProcess;
  readonly namespace: NetworkNamespace;

  private constructor(namespace: NetworkNamespace, driver: LineProcess, scapy: LineProcess) {
    this.namespace = namespace;
    this.#driver = driver;
    this.#scapy = scapy;
  }

  /** @param programs the file they are in, if not those that were built. */
  static async make(...programs: readonly string[]): Promise<PacketNode> {
    await run(`${root}scripts/bpf.sh`);
    await run(`${root}scripts/scapy.sh`);
    const namespace = await NetworkNamespace.make();
    try {
      for (const line of wiring) await namespace.run("ip", ...line.split(" "));
      await namespace.run("sysctl", "-qew", ...sysctls);
      const deno = [
        Deno.execPath(),
        "run",
        "--quiet",
        "-A",
        `${root}tests/integration/ebpf/packet_driver.ts`,
        ...programs,
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

  /**
   * Puts services in force, with nothing remembered of others.
   * @returns what was different, in words.
   */
  async program(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<readonly string[]> {
    const settings = families.map((family) => ({
      ...settingsOf(family),
      ...addresses[family],
      ...changes.node,
    }));
    const { differences } = await this.#ask({
      do: "program",
      settings,
      plans,
      changes: { firstPort: 61000, lastPort: 61000, ...changes.map },
      ...(changes.devices === undefined ? {} : { devices: changes.devices }),
    });
    if (!changes.keep) await this.#ask({ do: "forget" });
    return differences;
  }

  /** Other plans or settings for the flows that are remembered. */
  reprogram(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<readonly string[]> {
    return this.program(plans, { ...changes, keep: true });
  }

  /** Hands over a packet; `what` is an expression without the Ethernet header. */
  async arrive(
    what: string,
    { at = "eth0", program = "ingress_l2", aggregated }: {
      readonly at?: string;
      readonly program?: PacketProgram;
      readonly aggregated?: Aggregated;
    } = {},
  ): Promise<Arrived> {
    const { action, packet } = await this.#ask({
      do: "run",
      program,
      device: at,
      packet: await this.#build(`${link[at]}/${what}`),
      ...(aggregated === undefined ? {} : { aggregated }),
    });
    return { action: actions[action] ?? `${action}`, packet };
  }

  /** Hands over a whole frame. */
  async arriveFrame(frame: string): Promise<Arrived> {
    const request = {
      do: "run",
      program: "ingress_l2",
      device: "eth0",
      packet: await this.#build(frame),
    } as const;
    const { action, packet } = await this.#ask(request);
    return { action: actions[action] ?? `${action}`, packet };
  }

  async leave(what: string): Promise<Arrived> {
    return await this.arrive(what, { program: "egress_l2" });
  }

  /** A packet is translated into another one: byte by byte as Scapy makes it, checksums included, and sent on. */
  async becomes(
    what: string,
    expected: string,
    { at = "eth0", action = "redirect", ...more }: {
      readonly at?: string;
      readonly action?: string;
      readonly aggregated?: Aggregated;
    } = {},
  ): Promise<void> {
    const arrived = await this.arrive(what, { at, ...more });
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

  /** @param list an expression for many packets. */
  async areLeftAlone(list: string): Promise<void> {
    const built = await this.#scapy.ask({ build_all: `[${link.eth0}/packet for packet in ${list}]` });
    for (const packet of built.hex) {
      const arrived = await this.#ask({ do: "run", program: "ingress_l2", device: "eth0", packet });
      const text = arrived.packet === packet ? "" : await this.show(packet);
      assert.deepEqual({ ...arrived, action: actions[arrived.action] }, { action: "pass", packet }, text);
    }
  }

  async isDropped(what: string, options: { at?: string } = {}): Promise<void> {
    assert.equal((await this.arrive(what, options)).action, "drop", what);
  }

  async build(what: string): Promise<string> {
    return await this.#build(what);
  }

  /** A packet in words, with a link's header or not. */
  async show(packet: string, l3 = false): Promise<string> {
    return (await this.#scapy.ask({ show: packet, l3 })).text;
  }

  /** Puts the programs on a device, for as long as the node lives. */
  async attach(device: string, layer: Layer): Promise<void> {
    await this.#ask({ do: "attach", device, layer });
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

  /**
   * As if so much time had gone by without packets.
   * @returns how often flows that begin will look at old ones until there are none left.
   */
  async age(seconds: number): Promise<number> {
    return (await this.#ask({ do: "age", seconds })).waiting;
  }

  /** The memory of flows had to make room for others: of each, the entry of one direction is gone. */
  async evict(which: "answers" | "questions"): Promise<void> {
    await this.#ask({ do: "forget half", replies: which === "answers" });
  }

  /** How often each branch was taken, of programs that count it. */
  async branchCounters(): Promise<readonly string[]> {
    return (await this.#ask({ do: "counters" })).counters;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
    await this.#scapy[Symbol.asyncDispose]();
    await this.namespace[Symbol.asyncDispose]();
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
    const [got, want] = [await this.show(arrived.packet), await this.show(wanted)];
    assert.fail(`${arrived.action}:\n${got}\nwanted, ${action}:\n${want}`);
  }
}

/** What packets are to show, by what it is. */
export type Cases = Readonly<Record<string, (node: PacketNode) => Promise<void>>>;

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
  /** Entries of the other maps that packets fill. */
  readonly affinity: number;
  readonly counters: number;
  /** By enum drop_reason. */
  readonly drops: readonly number[];
}

interface Changes {
  readonly node?: Partial<Omit<NodeSettings, "family">>;
  readonly map?: Partial<
    { firstPort: number; lastPort: number; udpSeconds: number; tcpEstablishedSeconds: number }
  >;
  readonly devices?: readonly Device[];
  readonly keep?: boolean;
}

/** TC_ACT_*, linux/pkt_cls.h */
const actions: Readonly<Record<number, string>> = { 0xffffffff: "pass", 2: "drop", 7: "redirect" };
