import type { ModeTraits } from "../backend/mode.ts";
import type { ProxyConfig } from "../config/config.ts";
import { type Address, LOOPBACK } from "../net/address.ts";
import {
  deriveNodeSettings,
  detectNodeAddresses,
  type NodeConfiguration,
  type NodePortAddresses,
  nodePortAddresses,
  sameSettings,
} from "../plan/node_settings.ts";
import { type NodeGap, nodeGaps } from "../plan/node_gaps.ts";
import { FAMILIES, type Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";
import { sameList } from "../objects/equality.ts";
import type { Store } from "../objects/store.ts";
import type { NodeSettings } from "../plan/plan.ts";
import type { PlanContext } from "../plan/planner.ts";

/** Facts about this node that planning and the backend use. */
export interface NodeView {
  /** Facts that plans depend on. */
  readonly context: PlanContext;
  /** One entry per family in use. */
  readonly settings: readonly NodeSettings[];
  readonly nodePortAddresses: NodePortAddresses;
  /** Facts that are not known, for the log. */
  readonly gaps: readonly NodeGap[];
}

/** The view before the node is known. It has no families, so nothing is planned. */
export const NO_VIEW: NodeView = {
  context: { families: [], nodeName: "", zone: "", nodeAddresses: LOOPBACK, endsConnections: false },
  settings: [],
  nodePortAddresses: { IPv4: { isAll: false, addresses: [] }, IPv6: { isAll: false, addresses: [] } },
  gaps: [],
};

/** Parts in which two views differ. */
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

/** The part of the configuration that the view depends on. */
export interface NodeViewConfig
  extends Omit<NodeConfiguration, "listsInterfaceAddresses">, Pick<ProxyConfig, "nodeName" | "bindAddress"> {
  readonly mode: Pick<ModeTraits, "planning">;
}

/**
 * Derives the view from the configuration, the cluster's objects and the addresses of the node's interfaces.
 * @param standIn replaces the Node object as long as there is none, and its addresses as long as it has none.
 */
export function nodeView(
  config: NodeViewConfig,
  families: readonly Family[],
  store: Pick<Store, "node" | "serviceCidrs">,
  interfaceAddresses: readonly Address[],
  standIn: Node | undefined,
): NodeView {
  const node = withAddresses(store.node, standIn);
  const nodeAddresses = detectNodeAddresses(node, config.bindAddress);
  const facts = { node, nodeAddresses, interfaceAddresses, serviceCidrs: store.serviceCidrs };
  const { endsTcpConnections, listsInterfaceAddresses } = config.mode.planning;
  const configuration = { ...config, listsInterfaceAddresses };
  return {
    context: {
      families,
      nodeName: config.nodeName,
      zone: node?.zone ?? "",
      nodeAddresses,
      endsConnections: endsTcpConnections,
    },
    settings: families.map((family) => deriveNodeSettings(family, configuration, facts)),
    nodePortAddresses: {
      IPv4: nodePortAddresses("IPv4", configuration, facts),
      IPv6: nodePortAddresses("IPv6", configuration, facts),
    },
    gaps: nodeGaps(families, configuration, facts),
  };
}

function withAddresses(node: Node | undefined, standIn: Node | undefined): Node | undefined {
  if (node === undefined || standIn === undefined || node.addresses.length > 0) return node ?? standIn;
  return { ...node, addresses: standIn.addresses };
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
  return FAMILIES.every((family) =>
    a[family].isAll === b[family].isAll &&
    sameList(a[family].addresses, b[family].addresses, (one, other) => one === other)
  );
}
