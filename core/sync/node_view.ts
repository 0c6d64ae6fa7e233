import type { ProxyConfig } from "../config/config.ts";
import { type Address, loopback } from "../net/address.ts";
import { detectNodeAddresses } from "../plan/node_addresses.ts";
import {
  deriveNodeSettings,
  type NodeConfiguration,
  type NodePortAddresses,
  nodePortAddresses,
  sameSettings,
} from "../plan/node_settings.ts";
import { families, type Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";
import { sameList } from "../objects/same_list.ts";
import type { Store } from "../objects/store.ts";
import type { NodeSettings } from "../plan/plan.ts";
import type { PlanContext } from "../plan/planner.ts";

/** What planning and the backend know of this node. */
export interface NodeView {
  /** What plans depend on. */
  readonly context: PlanContext;
  /** One entry per family in use. */
  readonly settings: readonly NodeSettings[];
  readonly nodePortAddresses: NodePortAddresses;
}

/** The view before the node is known: no families, so nothing is planned. */
export const noView: NodeView = {
  context: { families: [], nodeName: "", zone: "", nodeAddresses: loopback, endsConnections: false },
  settings: [],
  nodePortAddresses: { IPv4: { isAll: false, addresses: [] }, IPv6: { isAll: false, addresses: [] } },
};

/** Which parts of two views differ. */
export interface NodeViewDifference {
  readonly context: boolean;
  readonly settings: boolean;
  readonly nodePortAddresses: boolean;
}

export function compareViews(a: NodeView, b: NodeView): NodeViewDifference {
  return {
    context: !sameContext(a.context, b.context),
    settings: !sameSettingsOfAll(a.settings, b.settings),
    nodePortAddresses: !sameNodePortAddresses(a.nodePortAddresses, b.nodePortAddresses),
  };
}

export type NodeViewConfig = Pick<
  ProxyConfig,
  | "nodeName"
  | "bindAddress"
  | "localTraffic"
  | "masqueradeAll"
  | "masqueradeBit"
  | "nodePortAddresses"
  | "localhostNodePorts"
  | "mode"
>;

/**
 * Derives the view from the configuration, the cluster's objects and the addresses of the node's interfaces.
 * @param standIn replaces the Node object as long as there is none.
 */
export function nodeView(
  config: NodeViewConfig,
  families: readonly Family[],
  store: Pick<Store, "node" | "serviceCidrs">,
  interfaceAddresses: readonly Address[],
  standIn: Node | undefined,
): NodeView {
  const node = store.node ?? standIn;
  const nodeAddresses = detectNodeAddresses(node, config.bindAddress);
  const facts = { node, nodeAddresses, interfaceAddresses, serviceCidrs: store.serviceCidrs };
  const configuration = nodeConfiguration(config);
  return {
    context: {
      families,
      nodeName: config.nodeName,
      zone: node?.zone ?? "",
      nodeAddresses,
      endsConnections: config.mode === "ebpf",
    },
    settings: families.map((family) => deriveNodeSettings(family, configuration, facts)),
    nodePortAddresses: {
      IPv4: nodePortAddresses("IPv4", configuration, facts),
      IPv6: nodePortAddresses("IPv6", configuration, facts),
    },
  };
}

/** True when no service has to be planned again. */
function sameContext(a: NodeView["context"], b: NodeView["context"]): boolean {
  return a.zone === b.zone && a.nodeName === b.nodeName &&
    a.families.length === b.families.length && a.families.every((family) => b.families.includes(family)) &&
    a.families.every((family) => a.nodeAddresses[family] === b.nodeAddresses[family]);
}

function sameSettingsOfAll(a: NodeView["settings"], b: NodeView["settings"]): boolean {
  return a.length === b.length && a.every((settings, index) => {
    const other = b[index];
    return other !== undefined && sameSettings(settings, other);
  });
}

function sameNodePortAddresses(a: NodePortAddresses, b: NodePortAddresses): boolean {
  return families.every((family) =>
    a[family].isAll === b[family].isAll &&
    sameList(a[family].addresses, b[family].addresses, (one, other) => one === other)
  );
}

function nodeConfiguration(config: NodeViewConfig): NodeConfiguration {
  return {
    detectLocal: detectLocal(config.localTraffic),
    masqueradeAll: config.masqueradeAll,
    masqueradeBit: config.masqueradeBit,
    nodePortAddresses: config.nodePortAddresses,
    defaultNodePortAddresses: config.mode === "nftables" || config.mode === "ebpf" ? "primary" : "all",
    localhostNodePorts: config.localhostNodePorts,
    enumeratesAddresses: config.mode === "ipvs" || config.mode === "ebpf",
  };
}

function detectLocal(localTraffic: ProxyConfig["localTraffic"]): NodeConfiguration["detectLocal"] {
  switch (localTraffic.mode) {
    case "ClusterCIDR":
      return { mode: "ClusterCIDR", clusterCidrs: localTraffic.cidrs };
    case "NodeCIDR":
      return localTraffic;
    case "BridgeInterface":
      return { mode: "BridgeInterface", bridgeInterface: localTraffic.interface };
    case "InterfaceNamePrefix":
      return { mode: "InterfaceNamePrefix", interfaceNamePrefix: localTraffic.prefix };
  }
}
