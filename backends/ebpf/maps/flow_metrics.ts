import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { CountedMap, KernelMaps } from "./kernel_maps.ts";

/** Classes of flows, each with a map of its own, and with it room of its own (docs/ebpf-packets.md). */
const CLASSES = { tcp: "conntrack", udp: "conntrack_udp", new: "conntrack_new" } as const;

/** Entries that are read to estimate the number of all. */
const SAMPLE = 1024;

type FlowMaps = Pick<KernelMaps, typeof CLASSES[keyof typeof CLASSES]>;

/** The flows of each class, and the room for them. A class without room evicts the flow that was idle for longest. */
export function flowMetrics(maps: FlowMaps): readonly BackendMetric[] {
  const samplesOf = (entriesOf: (map: CountedMap) => number) =>
    Object.entries(CLASSES).map(([name, map]) => ({
      labels: [name],
      // A flow has two entries.
      value: Math.ceil(entriesOf(maps[map]) / 2),
    }));
  return [
    {
      name: "ebpf_flows",
      help: "Flows of packets by class: assured ones of TCP, assured ones of other protocols, and new ones.",
      type: "gauge",
      labels: ["class"],
      samples: samplesOf((map) => map.estimateEntries(SAMPLE)),
    },
    {
      name: "ebpf_max_flows",
      help: "Room for flows of packets by class. A full class evicts the flow that was idle for longest.",
      type: "gauge",
      labels: ["class"],
      samples: samplesOf(({ shape }) => shape.maxEntries),
    },
  ];
}
