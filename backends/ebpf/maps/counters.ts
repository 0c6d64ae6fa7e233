import { type PlanKey, printedNameOf } from "../../../core/plan/plan.ts";
import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { DROP, OFFSET, SIZE } from "./layout.ts";

/** What programs counted of one service port; out is from the client to the endpoint. */
export interface Counted {
  readonly connections: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
}

/**
 * Sums up what every CPU counted.
 * @param owners whose id is whose.
 */
export function readTraffic(
  counters: KernelMaps["counters"],
  owners: ReadonlyMap<number, PlanKey>,
): ReadonlyMap<PlanKey, Counted> {
  const traffic = new Map<PlanKey, Counted>();
  const cpus = possibleCpus();
  counters.forEach((keys, keyOffset, values, valueOffset) => {
    const key = owners.get(keys.getUint32(keyOffset, true));
    if (key === undefined) return;
    const sum = (offset: number) => {
      let total = 0n;
      for (let cpu = 0; cpu < cpus; cpu++) {
        total += values.getBigUint64(valueOffset + cpu * SIZE.traffic + offset, true);
      }
      return Number(total);
    };
    const at = OFFSET.traffic;
    traffic.set(key, {
      connections: sum(at.connections),
      packetsOut: sum(at.packets_out),
      bytesOut: sum(at.bytes_out),
      packetsIn: sum(at.packets_in),
      bytesIn: sum(at.bytes_in),
    });
  }, cpus * SIZE.traffic);
  return traffic;
}

/** What was counted of a service goes with it. */
export function forgetCounters(counters: KernelMaps["counters"], id: number): void {
  counters.delete(new Uint8Array(new Uint32Array([id]).buffer));
}

/** Forgets all services but these: those that went while there was no process to see it. */
export function keepCounters(counters: KernelMaps["counters"], ids: ReadonlySet<number>): void {
  const gone: number[] = [];
  counters.forEach((keys, offset) => {
    const id = keys.getUint32(offset, true);
    if (!ids.has(id)) gone.push(id);
  }, possibleCpus() * SIZE.traffic);
  for (const id of gone) forgetCounters(counters, id);
}

/** What was refused or dropped, by reason. */
export function readDrops(drops: KernelMaps["drops"]): ReadonlyMap<string, number> {
  const cpus = possibleCpus();
  const names = new Map<number, string>(
    Object.entries(DROP).map(([name, reason]) => [reason, name.toLowerCase()]),
  );
  const counts = new Map<string, number>();
  drops.forEach((keys, keyOffset, values, valueOffset) => {
    const name = names.get(keys.getUint32(keyOffset, true));
    if (name === undefined) return;
    let total = 0n;
    for (let cpu = 0; cpu < cpus; cpu++) total += values.getBigUint64(valueOffset + cpu * 8, true);
    counts.set(name, Number(total));
  }, cpus * 8);
  return counts;
}

export function trafficMetrics(traffic: ReadonlyMap<PlanKey, Counted>): readonly BackendMetric[] {
  const samplesOf = (
    values: (counted: Counted) => readonly (readonly [labels: readonly string[], value: number])[],
  ) =>
    [...traffic].flatMap(([key, counted]) =>
      values(counted).map(([labels, value]) => ({ labels: [...identity(key), ...labels], value }))
    );
  return [
    {
      name: "ebpf_connections_total",
      help: "New connections to a service port; of UDP, sockets and flows that are new to it.",
      type: "counter",
      labels: identityLabels,
      samples: samplesOf(({ connections }) => [[[], connections]]),
    },
    {
      name: "ebpf_packets_total",
      help:
        "Packets that were translated, by direction as the client sees it. Those of sockets of this node need none.",
      type: "counter",
      labels: [...identityLabels, "direction"],
      samples: samplesOf(({ packetsOut, packetsIn }) => [[["out"], packetsOut], [["in"], packetsIn]]),
    },
    {
      name: "ebpf_bytes_total",
      help: "Bytes of the packets that were translated.",
      type: "counter",
      labels: [...identityLabels, "direction"],
      samples: samplesOf(({ bytesOut, bytesIn }) => [[["out"], bytesOut], [["in"], bytesIn]]),
    },
  ];
}

export function dropMetric(drops: ReadonlyMap<string, number>): BackendMetric {
  return {
    name: "ebpf_drops_total",
    help: "Connections and packets that were refused or dropped, by reason.",
    type: "counter",
    labels: ["reason"],
    samples: [...drops].map(([reason, value]) => ({ labels: [reason], value })),
  };
}

export function endedMetrics(
  sockets: { readonly ended: Readonly<Record<string, number>>; readonly failures: number },
): readonly BackendMetric[] {
  return [
    {
      name: "ebpf_ended_sockets_total",
      help: "Connected sockets that were ended because their endpoint is gone.",
      type: "counter",
      labels: ["protocol"],
      samples: Object.entries(sockets.ended).map(([protocol, value]) => ({ labels: [protocol], value })),
    },
    {
      name: "ebpf_ended_sockets_failures_total",
      help: "How often sockets whose endpoint is gone could not be looked for.",
      type: "counter",
      labels: [],
      samples: [{ labels: [], value: sockets.failures }],
    },
  ];
}

const identityLabels = ["service_port", "protocol", "family"];

/** A key ends with the protocol and the family. */
function identity(key: PlanKey): readonly string[] {
  const [family = "", protocol = ""] = key.split("/").toReversed();
  return [printedNameOf(key), protocol, family];
}

/** How many values an entry of a per-CPU map has: `0-3` is four. */
function possibleCpus(): number {
  const text = Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
}
