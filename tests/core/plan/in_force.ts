import { nftables } from "../../../backends/nftables/mode.ts";
import type { DetectLocal } from "../../../core/plan/node_settings.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { type Cidr, parseAddress, parseCidr } from "../../../core/net/address.ts";
import { parseObject } from "../../../core/objects/parse/index.ts";
import { type TracedNode, tracedNode } from "../../../core/explain/trace/trace.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { address } from "./builders.ts";
import type { RawCluster, RawConfiguration } from "../../oracle/raw_objects.ts";

/** The objects and the configuration that a node and its proxy know. */
export interface Published extends Pick<RawCluster, "configuration" | "interfaceAddresses"> {
  /** Objects of the API as JSON. */
  readonly objects: readonly unknown[];
}

/** Computes the state in force on node "here" after it has received all objects, from their JSON to plans. */
export function inForce({ objects, configuration, interfaceAddresses }: Published): TracedNode {
  const queue = new PlanQueue("here", new RecordingLog());
  for (const raw of objects) {
    const parsed = parseObject(raw, () => {});
    if ("object" in parsed) queue.upsert(parsed.object);
    if ("invalid" in parsed) throw new Error(parsed.invalid);
  }
  const addresses = interfaceAddresses.map(address);
  const view = nodeView(
    viewConfig(configuration),
    configuration.families,
    queue.store,
    addresses,
    undefined,
  );
  queue.setView(view);
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  return tracedNode({ settings: view.settings, plans: queue.applied }, addresses);
}

export function objectsOf({ services, slices, nodes, serviceCidrs }: RawCluster): readonly unknown[] {
  return [...services, ...slices, ...nodes, ...serviceCidrs];
}

function viewConfig(raw: RawConfiguration): Parameters<typeof nodeView>[0] {
  const { detectLocal } = raw;
  return {
    mode: nftables,
    nodeName: "here",
    bindAddress: raw.bindAddress === undefined ? undefined : parseAddress(raw.bindAddress),
    detectLocal: detectLocalOf(detectLocal),
    masqueradeAll: raw.masqueradeAll,
    masqueradeBit: 14,
    localhostNodePorts: false,
    trafficMetrics: "connections",
    nodePortAddresses: raw.nodePortAddresses.length === 0
      ? [nftables.planning.defaultNodePortAddresses]
      : raw.nodePortAddresses.map((text) =>
        text === "primary" || text === "localhost" || text === "all" ? text : cidr(text)
      ),
  };
}

function detectLocalOf(raw: RawConfiguration["detectLocal"]): DetectLocal {
  switch (raw.mode) {
    case "ClusterCIDR":
      return { mode: raw.mode, clusterCidrs: raw.cidrs.map(cidr) };
    case "NodeCIDR":
      return { mode: raw.mode };
    case "BridgeInterface":
      return { mode: raw.mode, bridgeInterface: raw.interface };
    case "InterfaceNamePrefix":
      return { mode: raw.mode, interfaceNamePrefix: raw.prefix };
  }
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`no CIDR: ${text}`);
  return parsed;
}
