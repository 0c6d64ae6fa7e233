import { createInterface } from "node:readline";
import { stdin } from "node:process";
import type { KernelMaps } from "../../../backends/ebpf/kernel_maps.ts";
import { viewOf } from "../../../backends/ebpf/layout.ts";
import { openObject } from "../../../backends/ebpf/objects.ts";
import { Services } from "../../../backends/ebpf/services.ts";
import { writeSettings } from "../../../backends/ebpf/settings.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/model/plan.ts";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { mutated, type Mutation } from "./mutation.ts";
import { TestRun } from "./test_run.ts";

/**
 * The programs of packets in the network namespace it was started in, with maps of its own that nothing is attached
 * to: a request a line, an answer a line.
 */
export type Request =
  | {
    readonly do: "program";
    readonly settings: readonly NodeSettings[];
    readonly plans: readonly ServicePortPlan[];
    readonly changes?: Partial<typeof defaults>;
  }
  | { readonly do: "run"; readonly program: PacketProgram; readonly device: string; readonly packet: string }
  | {
    readonly do: "fuzz";
    readonly device: string;
    readonly packets: readonly string[];
    readonly mutation: Mutation;
  }
  /** The packet from `count` source ports. */
  | {
    readonly do: "flood";
    readonly device: string;
    readonly packet: string;
    readonly firstPort: number;
    readonly count: number;
  }
  | { readonly do: "state" }
  | { readonly do: "forget"; readonly map: "conntrack" | "affinity" };

export type PacketProgram = "arrive_ethernet" | "arrive_bare" | "leave_ethernet" | "leave_bare";

/** Where it is behind an Ethernet header and one of IPv4 without options. */
const SOURCE_PORT = 14 + 20;

/** What tests change of the settings: offsets in struct settings. */
const defaults = { firstPort: 61000, lastPort: 65535, udpSeconds: 30, tcpEstablishedSeconds: 86400 };

/** Room for the flows of many packets, so that none is evicted. */
const room = { ...smallOptions.room, connections: 1 << 16 };
const object = openObject("tc");
for (
  const [map, size] of Object.entries({
    services: room.frontends,
    counters: room.frontends,
    source_ranges: room.frontends,
    endpoints: room.endpoints,
    affinity: room.clients,
    conntrack: 2 * room.connections,
    revisits: room.connections,
  })
) object.setMaxEntries(map, size);
object.load();
const maps: KernelMaps = {
  services: object.map("services"),
  endpoints: object.map("endpoints").mapped().view,
  node_addresses: object.map("node_addresses"),
  source_ranges: object.map("source_ranges"),
  service_cidrs: object.map("service_cidrs"),
  counters: object.map("counters"),
  drops: object.map("drops"),
  node_settings: object.map("node_settings"),
};
const services = new Services(maps, smallOptions);
const programs = new Map<string, TestRun>();
const ifindexes = new Map<string, number>();

for await (const line of createInterface({ input: stdin })) {
  try {
    console.log(JSON.stringify(perform(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ failed: error instanceof Error ? error.stack : String(error) }));
  }
}

function perform(request: Request): unknown {
  switch (request.do) {
    case "program": {
      writeSettings(maps, request.settings, smallOptions.timeouts, 1n);
      adjust({ ...defaults, ...request.changes });
      services.reconcile(request.plans);
      return {};
    }
    case "run": {
      const { action, packet } = program(request.program).run(bytesOf(request.packet), index(request.device));
      return { action, packet: hexOf(packet) };
    }
    case "fuzz": {
      const run = program("arrive_ethernet");
      const counts: Record<number, number> = {};
      for (const packet of mutated(request.packets.map(bytesOf), request.mutation)) {
        const { action } = run.run(packet, index(request.device));
        counts[action] = (counts[action] ?? 0) + 1;
      }
      return { counts };
    }
    case "flood": {
      const packet = bytesOf(request.packet);
      const view = new DataView(packet.buffer);
      for (let port = request.firstPort; port < request.firstPort + request.count; port++) {
        view.setUint16(SOURCE_PORT, port);
        program("arrive_ethernet").run(packet, index(request.device));
      }
      return {};
    }
    case "state":
      return {
        flows: countOf("conntrack"),
        halves: halfFlows(),
        fragments: countOf("fragments"),
        drops: dropsByReason(),
      };
    case "forget": {
      using map = object.map(request.map);
      for (const key of [...map.keys()]) map.delete(key);
      return {};
    }
  }
}

function program(name: PacketProgram): TestRun {
  const found = programs.get(name) ?? new TestRun(object.program(name));
  programs.set(name, found);
  return found;
}

function adjust({ firstPort, lastPort, udpSeconds, tcpEstablishedSeconds }: typeof defaults): void {
  const value = new Uint8Array(maps.node_settings.shape.valueSize);
  using map = object.map("node_settings");
  map.lookup(new Uint8Array(4), value);
  const view = viewOf(value);
  view.setUint16(12, firstPort, true);
  view.setUint16(14, lastPort, true);
  view.setUint32(112, tcpEstablishedSeconds, true);
  view.setUint32(120, udpSeconds, true);
  map.update(new Uint8Array(4), value);
}

function countOf(name: string): number {
  using map = object.map(name);
  let count = 0;
  map.forEach(() => count++);
  return count;
}

/** Entries of conntrack whose other direction is not there, or is of another flow. */
function halfFlows(): number {
  using map = object.map("conntrack");
  const flows = new Map<string, string>();
  map.forEach((keys, keyOffset, values, valueOffset) => {
    flows.set(tupleAt(keys, keyOffset), reversedTupleAt(values, valueOffset));
  });
  let halves = 0;
  for (const [tuple, other] of flows) if (flows.get(other) !== tuple) halves++;
  return halves;
}

/** struct tuple: two addresses of 16 bytes, two ports, the protocol. */
function tupleAt(view: DataView, offset: number): string {
  const hex = hexOf(new Uint8Array(view.buffer, offset, 37));
  return [hex.slice(0, 32), hex.slice(32, 64), hex.slice(64, 68), hex.slice(68, 72), hex.slice(72)].join(" ");
}

function reversedTupleAt(view: DataView, offset: number): string {
  return reversedName(tupleAt(view, offset));
}

function reversedName(name: string): string {
  const [source, destination, sourcePort, destinationPort, protocol] = name.split(" ");
  return [destination, source, destinationPort, sourcePort, protocol].join(" ");
}

function dropsByReason(): number[] {
  const cpus = navigator.hardwareConcurrency;
  const reasons: number[] = [];
  using map = object.map("drops");
  for (let reason = 0; reason < map.shape.maxEntries; reason++) {
    const values = new BigUint64Array(cpus);
    map.lookup(new Uint8Array(new Uint32Array([reason]).buffer), new Uint8Array(values.buffer));
    reasons.push(Number(values.reduce((sum, value) => sum + value, 0n)));
  }
  return reasons;
}

function index(device: string): number {
  const found = ifindexes.get(device) ?? Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));
  ifindexes.set(device, found);
  return found;
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
