import { defineMode } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { proxyProtocolLimitations } from "../proxy_protocol.ts";
import { NftablesBackend } from "./backend.ts";

export const nftables = defineMode({
  name: "nftables",
  isAutomatic: true,
  flags: {},
  planning: {
    endsTcpConnections: false,
    listsInterfaceAddresses: false,
    defaultNodePortAddresses: "primary",
    localhostNodePorts: false,
  },
  sections: { periods: "nftables", masquerade: "nftables" },
  localhostGate: "KubeProxyNFTablesLocalhostNodePorts",
  failureMetrics: [
    {
      name: "sync_proxy_rules_nftables_sync_failures_total",
      help: "Cumulative proxy nftables sync failures",
      counts: "all",
    },
    // Stale objects are removed by the transaction that makes them stale, so no cleanup can fail alone.
    {
      name: "sync_proxy_rules_nftables_cleanup_failures_total",
      help: "Cumulative proxy nftables cleanup failures",
      counts: "none",
    },
  ],
  limitationsOf: proxyProtocolLimitations,
  readOptions: () => undefined,
  create: () => withBackendErrors(new NftablesBackend()),
});
