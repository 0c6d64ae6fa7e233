import { createInterface } from "node:readline";
import { argv, stdin } from "node:process";
import type { PacketProgram } from "../../../../../backends/ebpf/programs/tc_attach.ts";
import { DIRECTIONS, type Layer } from "../../../../../backends/ebpf/programs/network_device.ts";
import type { PortRange } from "../../../../../backends/ebpf/maps/source_ports.ts";
import { Entries, replaceEntries } from "../../../../../backends/ebpf/maps/entries.ts";
import { TcFilters } from "../../../../../backends/ebpf/programs/tc_filters.ts";
import { flowMetrics } from "../../../../../backends/ebpf/maps/flow_metrics.ts";
import { openKernelMaps } from "../../../../../backends/ebpf/maps/kernel_maps.ts";
import {
  DEVICE,
  OFFSET,
  SETTING,
  SIZE,
  viewOf,
  writePortRanges,
} from "../../../../../backends/ebpf/maps/layout.ts";
import { addressEntries } from "../../../../../backends/ebpf/programs/device_entries.ts";
import { openObject } from "../../../../../backends/ebpf/programs/objects.ts";
import { ServiceRanges } from "../../../../../backends/ebpf/services/service_ranges.ts";
import { Services } from "../../../../../backends/ebpf/services/services.ts";
import { changeFlags, writeSettings } from "../../../../../backends/ebpf/maps/node_settings.ts";
import { cidrOf } from "../../../../../core/net/address.ts";
import type { NodeSettings, ServicePortPlan } from "../../../../../core/plan/plan.ts";
import { BpfObject } from "../../../../../ffi/bpf/object.ts";
import { NETLINK_ROUTE } from "../../../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../../../ffi/netlink/client.ts";
import { addressOf } from "../../../../backends/plans.ts";
import { smallOptions } from "../../../../backends/ebpf/options.ts";
import { countOf, FlowMemory } from "./flow_memory.ts";
import { mutated, type Mutation } from "./mutation.ts";
import { type Aggregation, TestRun } from "./test_run.ts";

/**
 * Runs the tc programs on packets in the network namespace it was started in, with maps of its own. Nothing
 * is attached unless requested. Reads one JSON request per line, and writes one answer per line.
 *   packet_driver.ts [OBJECT]   OBJECT replaces dist/bpf/tc.bpf.o
 */
const [, , given] = argv;

export type Request =
  | {
    readonly do: "program";
    readonly settings: readonly NodeSettings[];
    readonly plans: readonly ServicePortPlan[];
    readonly changes?: Partial<MapSettings>;
    readonly devices?: readonly Device[];
  }
  | {
    readonly do: "run";
    readonly program: PacketProgram;
    readonly device: string;
    readonly packet: string;
    readonly aggregation?: Aggregation;
    /** The device at which a packet that leaves has arrived. */
    readonly from?: string;
  }
  | {
    readonly do: "fuzz";
    readonly device: string;
    readonly packets: readonly string[];
    readonly mutation: Mutation;
  }
  /** Sends the packet with `count` source or destination ports. */
  | {
    readonly do: "flood";
    readonly device: string;
    readonly packet: string;
    readonly varies: keyof typeof PORT_OFFSET;
    readonly firstPort: number;
    readonly count: number;
  }
  | { readonly do: "state" }
  /** Counters of branches, for programs that count them. */
  | { readonly do: "counters" }
  /** Deletes everything the programs stored. */
  | { readonly do: "forget" }
  /** Deletes all flows that are not assured. */
  | { readonly do: "forget_new" }
  /** Deletes the entries of one direction. */
  | { readonly do: "evict"; readonly replies: boolean }
  /** Moves all timestamps back. */
  | { readonly do: "age"; readonly seconds: number }
  | { readonly do: "attach"; readonly device: string; readonly layer: Layer };

/** Entry of map `devices`. */
export interface Device {
  readonly name: string;
  readonly hasLocalPods?: boolean;
  /** Addresses of the device with the lengths of their prefixes, such as "10.1.0.254/24". */
  readonly addresses?: readonly string[];
  /** The kernel checks whether the sources of packets are reached by this device. */
  readonly hasReversePathFilter?: boolean;
  readonly needsRoute?: boolean;
  readonly hasPeer?: boolean;
  /** The bridge that the device is, or is a port of. */
  readonly bridge?: string;
}

/** Members of map `node_settings` that tests change. */
export type MapSettings = typeof DEFAULTS;

const DEFAULTS = {
  firstPort: 61000,
  lastPort: 65535,
  /** A second range of source ports. */
  otherPorts: null as PortRange | null,
  udpSeconds: 30,
  tcpEstablishedSeconds: 86400,
  /** Netfilter translates flows that began in another mode. */
  hasFormerFlows: false,
  /** The stack forwards all packets. */
  throughStack: false,
  /** Interval of ICMP errors to one source, and the limits for all together. */
  icmpIntervalMs: 0,
  icmpPerSecond: 1_000_000,
  icmpBurst: 1_000_000,
};

/** Offset of a port behind an Ethernet header and an IPv4 header without options. */
const PORT_OFFSET = { source: 14 + 20, destination: 14 + 22 };

/** Capacity for the flows of many packets, so that none is evicted. */
const capacity = { ...smallOptions.capacity, connections: 1 << 16 };
/** Small, so that a test can fill it. */
const CLOSED_FLOWS = 16;
const object = given === undefined ? openObject("tc") : BpfObject.open(given, Deno.readFileSync(given));
for (
  const [map, maxEntries] of Object.entries({
    services: capacity.frontends,
    counters: capacity.frontends,
    source_ranges: capacity.frontends,
    endpoints: capacity.endpoints,
    affinity: capacity.clients,
    conntrack: 2 * capacity.connections,
    conntrack_new: 2 * capacity.connections,
    conntrack_udp: 2 * capacity.connections,
    revisits: capacity.connections,
    closed_flows: CLOSED_FLOWS,
  })
) object.setMaxEntries(map, maxEntries);
object.load();
const maps = openKernelMaps((name) => object.map(name), new DisposableStack());
const memory = new FlowMemory(object);
const services = new Services(maps, smallOptions, () => {});
const ranges = new ServiceRanges(maps.service_cidrs);
const programs = new Map<string, TestRun>();
/** Filters, because every supported kernel has them. They are removed with their devices. */
const filters = new TcFilters(NetlinkClient.open(NETLINK_ROUTE));
const ifindexes = new Map<string, number>();

for await (const line of createInterface({ input: stdin })) {
  try {
    console.log(JSON.stringify(await perform(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ failed: error instanceof Error ? error.stack : String(error) }));
  }
}

async function perform(request: Request): Promise<unknown> {
  switch (request.do) {
    case "program": {
      writeSettings(maps, request.settings, smallOptions.timeouts, 1n);
      ranges.reconcile(request.settings, request.plans);
      changeSettings({ ...DEFAULTS, ...request.changes });
      writeDevices(request.devices ?? []);
      const { differences } = services.reconcile(request.plans);
      return { differences };
    }
    case "run": {
      const { action, packet } = program(request.program)
        .run(
          bytesOf(request.packet),
          indexOf(request.device),
          request.aggregation,
          request.from === undefined ? 0 : indexOf(request.from),
        );
      return { action, packet: hexOf(packet) };
    }
    case "fuzz": {
      const [ingress, egress] = [program("ingress_l2"), program("egress_l2")];
      const counts: Record<number, number> = {};
      for (const packet of mutated(request.packets.map(bytesOf), request.mutation)) {
        egress.run(packet, indexOf(request.device));
        const { action } = ingress.run(packet, indexOf(request.device));
        counts[action] = (counts[action] ?? 0) + 1;
      }
      return { counts };
    }
    case "flood": {
      const packet = bytesOf(request.packet);
      const view = new DataView(packet.buffer);
      const durations: number[] = [];
      for (let port = request.firstPort; port < request.firstPort + request.count; port++) {
        view.setUint16(PORT_OFFSET[request.varies], port);
        durations.push(program("ingress_l2").run(packet, indexOf(request.device)).duration);
      }
      return { median: durations.toSorted((a, b) => a - b)[durations.length >> 1] };
    }
    case "state":
      return {
        flows: memory.entries,
        assured: memory.assured,
        unpaired: memory.unpaired,
        states: memory.states,
        fragments: countOf(object, "fragments"),
        affinity: countOf(object, "affinity"),
        counters: countOf(object, "counters"),
        ownDatagrams: countOf(object, "own_datagrams"),
        drops: sumsOf("drops"),
        events: sumsOf("flow_events"),
        metrics: flowMetrics(maps),
      };
    case "counters":
      return { counters: branchCounters() };
    case "forget":
      memory.forget();
      for (
        const name of ["affinity", "fragments", "counters", "icmp_limits", "stack_tuples", "own_datagrams"]
      ) {
        deleteEntries(name);
      }
      clearCounts("flow_events");
      clearCounts("icmp_limit");
      return {};
    case "forget_new":
      deleteEntries("conntrack_new");
      return {};
    case "evict":
      memory.evict(request.replies);
      return {};
    case "age":
      return { waiting: memory.age(request.seconds) };
    case "attach":
      for (const direction of DIRECTIONS) {
        const device = { index: indexOf(request.device), name: request.device };
        await filters.replace(device, direction, object.program(`${direction}_${request.layer}`));
      }
      return {};
  }
}

/** Reads the counters that ../coverage/counting.sh adds to the programs. */
function branchCounters(): readonly string[] {
  using map = object.map(".data.covered");
  const counters = new BigUint64Array(map.shape.valueSize / 8);
  map.lookup(new Uint8Array(4), new Uint8Array(counters.buffer));
  return Array.from(counters, String);
}

function writeDevices(devices: readonly Device[]): void {
  const entries = new Entries(4, SIZE.device);
  for (const { name, hasLocalPods, hasReversePathFilter, needsRoute, hasPeer, bridge } of devices) {
    const at = entries.add();
    entries.keys.setUint32(4 * at, indexOf(name), true);
    const flags = (hasLocalPods ? DEVICE.LOCAL_PODS : 0) | (hasReversePathFilter ? DEVICE.REVERSE_PATH : 0) |
      (needsRoute ? DEVICE.NEEDS_ROUTE : 0) | (hasPeer ? DEVICE.HAS_PEER : 0);
    const offset = SIZE.device * at;
    entries.values.setUint32(offset + OFFSET.device.flags, flags, true);
    entries.values.setUint32(offset + OFFSET.device.bridge, bridge === undefined ? 0 : indexOf(bridge), true);
  }
  using map = object.map("devices");
  replaceEntries(map, entries);
  using addresses = object.map("device_addresses");
  replaceEntries(
    addresses,
    addressEntries(devices.flatMap(({ name, addresses = [] }) =>
      addresses.map((text) => {
        const [address, prefix] = text.split("/");
        const bytes = addressOf(address!);
        return { index: indexOf(name), address: bytes, network: cidrOf(bytes, Number(prefix)) };
      })
    )),
  );
}

function deleteEntries(name: string): void {
  using map = object.map(name);
  for (const key of [...map.keys()]) map.delete(key);
}

function program(name: PacketProgram): TestRun {
  const testRun = programs.get(name) ?? new TestRun(object.program(name));
  programs.set(name, testRun);
  return testRun;
}

function changeSettings(
  {
    firstPort,
    lastPort,
    otherPorts,
    udpSeconds,
    tcpEstablishedSeconds,
    hasFormerFlows,
    throughStack,
    ...icmp
  }: MapSettings,
): void {
  const value = new Uint8Array(maps.node_settings.shape.valueSize);
  using map = object.map("node_settings");
  map.lookup(new Uint8Array(4), value);
  const [view, at] = [viewOf(value), OFFSET.settings];
  const ports = { first: firstPort, last: lastPort };
  writePortRanges(view, otherPorts === null ? [ports] : [ports, otherPorts]);
  view.setUint32(at.tcp_established_seconds, tcpEstablishedSeconds, true);
  view.setUint32(at.udp_seconds, udpSeconds, true);
  view.setUint32(at.icmp_interval_ms, icmp.icmpIntervalMs, true);
  view.setUint32(at.icmpv6_interval_ms, icmp.icmpIntervalMs, true);
  view.setUint32(at.icmp_per_second, icmp.icmpPerSecond, true);
  view.setUint32(at.icmp_burst, icmp.icmpBurst, true);
  map.update(new Uint8Array(4), value);
  if (hasFormerFlows) changeFlags(map, { set: SETTING.FORMER_FLOWS });
  if (throughStack) changeFlags(map, { set: SETTING.THROUGH_STACK });
}

/** Elements of a per-CPU array, summed over all CPUs. */
function sumsOf(name: string): number[] {
  const sums: number[] = [];
  using map = object.map(name);
  for (let index = 0; index < map.shape.maxEntries; index++) {
    const values = new BigUint64Array(navigator.hardwareConcurrency);
    map.lookup(keyOf(index), new Uint8Array(values.buffer));
    sums.push(Number(values.reduce((sum, value) => sum + value, 0n)));
  }
  return sums;
}

function clearCounts(name: string): void {
  using map = object.map(name);
  for (let index = 0; index < map.shape.maxEntries; index++) {
    map.update(keyOf(index), new Uint8Array(8 * navigator.hardwareConcurrency));
  }
}

function keyOf(index: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([index]).buffer);
}

function indexOf(device: string): number {
  const index = ifindexes.get(device) ?? Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));
  ifindexes.set(device, index);
  return index;
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
