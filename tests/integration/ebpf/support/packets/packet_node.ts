import assert from "node:assert/strict";
import type { BackendMetric } from "../../../../../core/backend/contract.ts";
import { FAMILIES } from "../../../../../core/net/protocol.ts";
import type { PacketProgram } from "../../../../../backends/ebpf/programs/tc_attach.ts";
import type { Layer } from "../../../../../backends/ebpf/programs/network_device.ts";
import type { NodeSettings, ServicePortPlan } from "../../../../../core/plan/plan.ts";
import { settingsOf } from "../../../../backends/plans.ts";
import { NetworkNamespace, run } from "../../../support/network_namespace.ts";
import { LineProcess } from "../line_process.ts";
import type { Device, MapSettings, Request } from "./packet_driver.ts";
import { addresses, link, linkBack, sysctls, wiring } from "./packet_topology.ts";
import type { Aggregation } from "./test_run.ts";
import { cache } from "../../../../lab/cache.ts";

const ROOT = new URL("../../../../../", import.meta.url).pathname;

/**
 * A node whose tc programs get packets one by one (BPF_PROG_TEST_RUN). Its interfaces and routes are real
 * (packet_topology.ts). The programs are attached to no device unless `attach` is called. Packets are Scapy
 * expressions, because Scapy is independent of the code under test.
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

  /** @param programs path of an object file to use instead of dist/bpf/tc.bpf.o. */
  static async make(...programs: readonly string[]): Promise<PacketNode> {
    await run(`${ROOT}scripts/bpf.sh`);
    await run(`${ROOT}scripts/scapy.sh`);
    const namespace = await NetworkNamespace.make();
    try {
      for (const line of wiring) await namespace.run("ip", ...line.split(" "));
      await namespace.run("sysctl", "-qew", ...sysctls);
      const script = new URL("./packet_driver.ts", import.meta.url).pathname;
      const deno = [Deno.execPath(), "run", "--quiet", "-A", script, ...programs];
      const driver = new LineProcess("ip", ["netns", "exec", namespace.name, ...deno]);
      const scapy = new LineProcess(`${cache}/scapy/bin/python`, [
        new URL("./packets.py", import.meta.url).pathname,
      ]);
      return new PacketNode(namespace, driver, scapy);
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Programs services, and forgets all flows and counters unless `changes.keepFlows` is set.
   * @returns the differences that the reconcile found.
   */
  async program(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<readonly string[]> {
    const settings = FAMILIES.map((family) => ({
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
    if (!changes.keepFlows) await this.#ask({ do: "forget" });
    return differences;
  }

  /** Programs other plans or settings, and keeps all flows and counters. */
  reprogram(plans: readonly ServicePortPlan[], changes: Changes = {}): Promise<readonly string[]> {
    return this.program(plans, { ...changes, keepFlows: true });
  }

  /** Runs the ingress program of a device on a packet, given without its Ethernet header. */
  async ingress(
    packet: string,
    { device = "eth0", aggregation }: PacketOptions = {},
  ): Promise<Processed> {
    return await this.#run("ingress_l2", `${link[device]}/${packet}`, device, aggregation);
  }

  /** Runs the ingress program of eth0 on a whole frame. */
  async ingressFrame(frame: string): Promise<Processed> {
    return await this.#run("ingress_l2", frame, "eth0");
  }

  /** Runs the egress program of eth0 on a packet, given without its Ethernet header. */
  async egress(packet: string): Promise<Processed> {
    return await this.#run("egress_l2", `${link.eth0}/${packet}`, "eth0");
  }

  /**
   * Checks that ingress translates a packet into exactly `expected`, checksums included, and forwards it.
   * @param options.header Ethernet header of the result. Most often the kernel writes it later.
   */
  async translates(
    packet: string,
    expected: string,
    { device = "eth0", action = "redirect", header = link[device], ...more }:
      & PacketOptions
      & { readonly action?: string; readonly header?: string } = {},
  ): Promise<void> {
    const processed = await this.ingress(packet, { device, ...more });
    await this.#assertEqual(processed, `${header}/${expected}`, action);
  }

  /** Checks that ingress answers a packet with `expected`, back to its sender. */
  async repliesWith(packet: string, expected: string): Promise<void> {
    await this.#assertEqual(await this.ingress(packet), `${linkBack.eth0}/${expected}`, "redirect");
  }

  /** Checks that egress translates a packet that the stack has forwarded. */
  async translatesForwarded(packet: string, expected: string): Promise<void> {
    const { action, packet: result } = await this.#ask({
      do: "run",
      program: "egress_l2",
      device: "eth0",
      packet: await this.build(`${link.eth0}/${packet}`),
      from: "pod0",
    });
    await this.#assertEqual(
      { action: ACTIONS[action] ?? `${action}`, packet: result },
      `${link.eth0}/${expected}`,
      "pass",
    );
  }

  /** Checks that egress translates a packet of the node. */
  async translatesEgress(packet: string, expected: string): Promise<void> {
    await this.#assertEqual(await this.egress(packet), `${link.eth0}/${expected}`, "pass");
  }

  /** Checks that ingress passes a packet to the network stack unchanged. */
  async ignores(packet: string, options: PacketOptions = {}): Promise<void> {
    await this.translates(packet, packet, { ...options, action: "pass" });
  }

  /** @param packets a Scapy expression for a list of packets. */
  async ignoresAll(packets: string): Promise<void> {
    const built = await this.#scapy.ask({ build_all: `[${link.eth0}/packet for packet in ${packets}]` });
    for (const packet of built.hex) {
      const processed = await this.#ask({ do: "run", program: "ingress_l2", device: "eth0", packet });
      const text = processed.packet === packet ? "" : await this.show(packet);
      assert.deepEqual({ ...processed, action: ACTIONS[processed.action] }, { action: "pass", packet }, text);
    }
  }

  /** Checks that ingress drops a packet. */
  async drops(packet: string, options: PacketOptions = {}): Promise<void> {
    assert.equal((await this.ingress(packet, options)).action, "drop", packet);
  }

  /** Bytes of a Scapy expression, in hexadecimal digits. */
  async build(packet: string): Promise<string> {
    return (await this.#scapy.ask({ build: packet })).hex;
  }

  /** Describes a packet. @param isL3 it has no Ethernet header. */
  async show(packet: string, isL3 = false): Promise<string> {
    return (await this.#scapy.ask({ show: packet, l3: isL3 })).text;
  }

  /** Attaches the programs to a device, for the lifetime of the node. */
  async attach(device: string, layer: Layer): Promise<void> {
    await this.#ask({ do: "attach", device, layer });
  }

  /** Runs both directions on mutated packets, and returns the number of ingress results per action. */
  async fuzz(packets: readonly string[], seed: number, count: number): Promise<Record<number, number>> {
    const built: string[] = [];
    for (const packet of packets) built.push(await this.build(`${link.eth0}/${packet}`));
    const mutation = { seed, count };
    return (await this.#ask({ do: "fuzz", device: "eth0", packets: built, mutation })).counts;
  }

  /**
   * Runs the ingress program on a packet with `count` source ports, or destination ports for replies. The packet's
   * checksum becomes wrong.
   * @returns the median of the time that the program took, in nanoseconds.
   */
  async flood(packet: string, firstPort: number, count: number, what?: "replies"): Promise<number> {
    const built = await this.build(`${link.eth0}/${packet}`);
    const varies = what === "replies" ? "destination" : "source";
    return (await this.#ask({ do: "flood", device: "eth0", packet: built, varies, firstPort, count })).median;
  }

  async state(): Promise<State> {
    return await this.#ask({ do: "state" });
  }

  /**
   * Moves all timestamps back, as if `seconds` had passed without packets.
   * @returns the number of revisits in the queue: new flows visit that many old ones until the queue is
   * empty.
   */
  async age(seconds: number): Promise<number> {
    return (await this.#ask({ do: "age", seconds })).waiting;
  }

  /** Deletes the conntrack entry of one direction of every flow, as an LRU eviction would. */
  async evict(direction: "replies" | "requests"): Promise<void> {
    await this.#ask({ do: "evict", replies: direction === "replies" });
  }

  /** Deletes all flows that are not assured. */
  async forgetNew(): Promise<void> {
    await this.#ask({ do: "forget_new" });
  }

  /** Counters of the branches, for programs that count them. */
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

  async #run(
    program: PacketProgram,
    frame: string,
    device: string,
    aggregation?: Aggregation,
  ): Promise<Processed> {
    const { action, packet } = await this.#ask({
      do: "run",
      program,
      device,
      packet: await this.build(frame),
      ...(aggregation === undefined ? {} : { aggregation }),
    });
    return { action: ACTIONS[action] ?? `${action}`, packet };
  }

  async #assertEqual(processed: Processed, expected: string, action: string): Promise<void> {
    const expectedPacket = await this.build(expected);
    if (processed.packet === expectedPacket && processed.action === action) return;
    const [got, want] = [await this.show(processed.packet), await this.show(expectedPacket)];
    assert.fail(`${processed.action}:\n${got}\nexpected, ${action}:\n${want}`);
  }
}

/** Test cases by name. */
export type Cases = Readonly<Record<string, (node: PacketNode) => Promise<void>>>;

interface PacketOptions {
  readonly device?: string;
  readonly aggregation?: Aggregation;
}

/** Result of a program. */
export interface Processed {
  /** "pass", "drop", "redirect". */
  readonly action: string;
  /** In hexadecimal digits. */
  readonly packet: string;
}

export interface State {
  /** Entries of flows: two per flow. */
  readonly flows: number;
  /** Entries of assured flows. */
  readonly assured: number;
  /** Entries whose opposite direction is missing. */
  readonly unpaired: number;
  /** The state of each flow, as names of FLOW_STATE. */
  readonly states: readonly string[];
  readonly fragments: number;
  readonly affinity: number;
  readonly counters: number;
  readonly ownDatagrams: number;
  /** Number of drops by enum drop_reason. */
  readonly drops: readonly number[];
  /** Number of events by enum flow_event, since flows were last forgotten. */
  readonly events: readonly number[];
  /** Metrics of flow_metrics.ts. */
  readonly metrics: readonly BackendMetric[];
}

interface Changes {
  readonly node?: Partial<Omit<NodeSettings, "family">>;
  readonly map?: Partial<MapSettings>;
  readonly devices?: readonly Device[];
  readonly keepFlows?: boolean;
}

/** TC_ACT_*, linux/pkt_cls.h */
const ACTIONS: Readonly<Record<number, string>> = { 0xffffffff: "pass", 2: "drop", 7: "redirect" };
