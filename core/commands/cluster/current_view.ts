import type { ProxyConfig } from "../../config/config.ts";
import type { Address } from "../../net/address.ts";
import type { Family } from "../../net/protocol.ts";
import { nodeOfThisHost } from "../../node/interfaces.ts";
import type { Store } from "../../objects/store.ts";
import { type NodeView, nodeView } from "../../sync/node_view.ts";

/**
 * The node as it is now. A directory of manifests may have no Node object: then this host stands in.
 * @param addresses of the interfaces.
 */
export function currentView(
  config: ProxyConfig,
  families: readonly Family[],
  store: Store,
  addresses: readonly Address[],
): NodeView {
  const standIn = config.source.kind === "manifests" ? nodeOfThisHost(config.nodeName, addresses) : undefined;
  return nodeView(config, families, store, addresses, standIn);
}
