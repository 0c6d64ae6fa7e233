import { type PlanKey, printedNameOf } from "../../../core/plan/plan.ts";
import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { DROP, OFFSET, SIZE } from "./layout.ts";

/** Counters of one service port. Out means from the client to the endpoint. */
export interface Counters {
  readonly connections: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
}

/**
 * Reads the counters of all service ports, summed over all CPUs.
 * @param owners the service port of each id.
 */
export function readTraffic(
  counters: KernelMaps["counters"],
  owners: ReadonlyMap<number, PlanKey>,
): ReadonlyMap<PlanKey, Counters> {
  const traffic = new Map<PlanKey, Counters>();
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

/** Deletes the counters of a removed service port. */
export function forgetCounters(counters: KernelMaps["counters"], id: number): void {
  counters.delete(new Uint8Array(new Uint32Array([id]).buffer));
}

/**
 * Deletes the counters of all other ids: those of service ports that were removed while no proxy was running.
 */
export function keepCounters(counters: KernelMaps["counters"], ids: ReadonlySet<number>): void {
  const gone: number[] = [];
  counters.forEach((keys, offset) => {
    const id = keys.getUint32(offset, true);
    if (!ids.has(id)) gone.push(id);
  }, possibleCpus() * SIZE.traffic);
  for (const id of gone) forgetCounters(counters, id);
}

/** Reads the number of rejected and dropped packets and connections by reason. */
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

export function trafficMetrics(traffic: ReadonlyMap<PlanKey, Counters>): readonly BackendMetric[] {
  const samplesOf = (
    values: (counters: Counters) => readonly (readonly [labels: readonly string[], value: number])[],
  ) =>
    [...traffic].flatMap(([key, counters]) =>
      values(counters).map(([labels, value]) => ({ labels: [...identity(key), ...labels], value }))
    );
  return [
    {
      name: "ebpf_connections_total",
      help: "New connections to a service port. For UDP, new sockets and flows.",
      type: "counter",
      labels: IDENTITY_LABELS,
      samples: samplesOf(({ connections }) => [[[], connections]]),
    },
    {
      name: "ebpf_packets_total",
      help:
        "Translated packets, by direction as seen from the client. Sockets on this node need no translation.",
      type: "counter",
      labels: [...IDENTITY_LABELS, "direction"],
      samples: samplesOf(({ packetsOut, packetsIn }) => [[["out"], packetsOut], [["in"], packetsIn]]),
    },
    {
      name: "ebpf_bytes_total",
      help: "Bytes of translated packets.",
      type: "counter",
      labels: [...IDENTITY_LABELS, "direction"],
      samples: samplesOf(({ bytesOut, bytesIn }) => [[["out"], bytesOut], [["in"], bytesIn]]),
    },
  ];
}

export function dropMetric(drops: ReadonlyMap<string, number>): BackendMetric {
  return {
    name: "ebpf_drops_total",
    help: "Rejected or dropped connections and packets, by reason.",
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
      help: "Failed scans for sockets whose endpoint is gone.",
      type: "counter",
      labels: [],
      samples: [{ labels: [], value: sockets.failures }],
    },
  ];
}

const IDENTITY_LABELS = ["service_port", "protocol", "family"];

/** Values of the identity labels; a key ends with the protocol and the family. */
function identity(key: PlanKey): readonly string[] {
  const [family = "", protocol = ""] = key.split("/").toReversed();
  return [printedNameOf(key), protocol, family];
}

/** Number of values of an entry in a per-CPU map. The file contains `0-3` for four CPUs. */
function possibleCpus(): number {
  const text = Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
}
