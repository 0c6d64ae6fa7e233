import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { dropsInvalidPackets } from "./host_settings.ts";
import { PacketCounters } from "./nfacct.ts";
import type { RuleContext } from "./sync/reconcile.ts";

/** Properties of the kernel and the node that the rules depend on. */
export interface Host {
  readonly nfacct: boolean;
  readonly dropsInvalid: boolean;
}

/** Above this number of endpoints the cluster is large: docs/behaviour.md §5.1, "Large-cluster mode". */
const LARGE_CLUSTER_ENDPOINTS = 1000;

export async function readHost(client: NetlinkClient): Promise<Host> {
  return { nfacct: await new PacketCounters(client).isSupported(), dropsInvalid: dropsInvalidPackets() };
}

/** Returns the inputs of the rules of a family with this number of endpoints. */
export function contextFor(host: Host, endpoints: number): RuleContext {
  return { ...host, isLarge: endpoints > LARGE_CLUSTER_ENDPOINTS };
}
