import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { ServiceTraffic } from "../../../core/backend/traffic.ts";
import type { FrontendKind, PlanKey } from "../../../core/plan/plan.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { DROP, FLOW_EVENT, FRONTEND, FRONTEND_KINDS, OFFSET, SIZE } from "./layout.ts";

/** Numbers of frontend kinds in keys: enum frontend_kind. */
export const KIND_NUMBERS: Readonly<Record<FrontendKind, number>> = {
  ClusterIP: FRONTEND.CLUSTER_IP,
  ExternalIP: FRONTEND.EXTERNAL_IP,
  LoadBalancerIP: FRONTEND.LOAD_BALANCER_IP,
  NodePort: FRONTEND.NODE_PORT,
};

/**
 * Reads the counters of all service ports, summed over all CPUs. Packets of sockets on this node are not counted.
 * @param owners the service port of each id.
 * @param withVolumes includes packets and bytes.
 */
export function readTraffic(
  counters: KernelMaps["counters"],
  owners: ReadonlyMap<number, PlanKey>,
  withVolumes: boolean,
): readonly ServiceTraffic[] {
  const services: ServiceTraffic[] = [];
  const cpus = possibleCpus();
  counters.forEach((keys, keyOffset, values, valueOffset) => {
    const { id, kind } = ofKey(keys.getUint32(keyOffset, true));
    const key = owners.get(id);
    if (key === undefined) return;
    const sum = (offset: number) => {
      let total = 0n;
      for (let cpu = 0; cpu < cpus; cpu++) {
        total += values.getBigUint64(valueOffset + cpu * SIZE.traffic + offset, true);
      }
      return Number(total);
    };
    const at = OFFSET.traffic;
    const refused = (reason: number) => sum(at.refused + 8 * reason);
    services.push({
      key,
      frontend: kind,
      connections: sum(at.connections),
      ...(withVolumes
        ? {
          toEndpoints: { packets: sum(at.packets_out), bytes: sum(at.bytes_out) },
          fromEndpoints: { packets: sum(at.packets_in), bytes: sum(at.bytes_in) },
        }
        : {}),
      refused: {
        "no-endpoints": refused(DROP.NO_ENDPOINTS),
        "no-local-endpoints": refused(DROP.NO_LOCAL_ENDPOINTS),
        "source-range": refused(DROP.SOURCE_RANGE),
      },
    });
  }, cpus * SIZE.traffic);
  return services;
}

const KINDS = new Map(Object.entries(KIND_NUMBERS).map(([kind, number]) => [number, kind as FrontendKind]));

/** Takes apart a key of map `counters`: see `counters_key` in bpf/choice.h. */
function ofKey(key: number): { readonly id: number; readonly kind: FrontendKind | undefined } {
  return { id: Math.floor(key / FRONTEND_KINDS), kind: KINDS.get(key % FRONTEND_KINDS) };
}

/** Deletes the counters of a removed service port. */
export function forgetCounters(counters: KernelMaps["counters"], id: number): void {
  for (let kind = 0; kind < FRONTEND_KINDS; kind++) deleteCounters(counters, id * FRONTEND_KINDS + kind);
}

/**
 * Deletes the counters of all other ids: those of service ports that were removed while no proxy was running.
 */
export function keepCounters(counters: KernelMaps["counters"], ids: ReadonlySet<number>): void {
  const gone: number[] = [];
  counters.forEach((keys, offset) => {
    const key = keys.getUint32(offset, true);
    if (!ids.has(ofKey(key).id)) gone.push(key);
  }, possibleCpus() * SIZE.traffic);
  for (const key of gone) deleteCounters(counters, key);
}

function deleteCounters(counters: KernelMaps["counters"], key: number): void {
  counters.delete(new Uint8Array(new Uint32Array([key]).buffer));
}

/** Reads the number of rejected and dropped packets and connections by reason. */
export function readDrops(drops: KernelMaps["drops"]): ReadonlyMap<string, number> {
  return readNamed(drops, DROP);
}

/** Reads how often flows were created, deleted and so on. */
export function readFlowEvents(events: KernelMaps["flow_events"]): ReadonlyMap<string, number> {
  return readNamed(events, FLOW_EVENT);
}

/** Reads the elements of a per-CPU array, summed over all CPUs. @param indexes their names in upper case. */
function readNamed(
  map: KernelMaps["drops"],
  indexes: Readonly<Record<string, number>>,
): ReadonlyMap<string, number> {
  const cpus = possibleCpus();
  const names = new Map(Object.entries(indexes).map(([name, index]) => [index, name.toLowerCase()]));
  const counts = new Map<string, number>();
  map.forEach((keys, keyOffset, values, valueOffset) => {
    const name = names.get(keys.getUint32(keyOffset, true));
    if (name === undefined) return;
    let total = 0n;
    for (let cpu = 0; cpu < cpus; cpu++) total += values.getBigUint64(valueOffset + cpu * 8, true);
    counts.set(name, Number(total));
  }, cpus * 8);
  return counts;
}

export function flowEventMetric(events: ReadonlyMap<string, number>): BackendMetric {
  return {
    name: "ebpf_flow_events_total",
    help:
      "Flows of packets that were created, assured, deleted, restored or lost their port, and invalid resets.",
    type: "counter",
    labels: ["event"],
    samples: [...events].map(([event, value]) => ({ labels: [event], value })),
  };
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

export function forwardMetric(isThroughStack: boolean): BackendMetric {
  return {
    name: "ebpf_forward_through_stack",
    help: "Whether packets for services pass netfilter's FORWARD (1) or leave past it (0).",
    type: "gauge",
    labels: [],
    samples: [{ labels: [], value: isThroughStack ? 1 : 0 }],
  };
}

export function peerMetric(devices: number): BackendMetric {
  return {
    name: "ebpf_peer_devices",
    help: "Veth pairs whose node's side is skipped by packets to their pod.",
    type: "gauge",
    labels: [],
    samples: [{ labels: [], value: devices }],
  };
}

export function endedMetrics(
  sockets: {
    readonly ended: Readonly<Record<string, number>>;
    readonly denied: number;
    readonly failures: number;
  },
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
      name: "ebpf_inaccessible_network_namespaces",
      help:
        "Network namespaces that the last scan for such sockets could not enter, which takes CAP_SYS_ADMIN.",
      type: "gauge",
      labels: [],
      samples: [{ labels: [], value: sockets.denied }],
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

/** Number of values of an entry in a per-CPU map. The file contains `0-3` for four CPUs. */
export function possibleCpus(): number {
  const text = Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
}
