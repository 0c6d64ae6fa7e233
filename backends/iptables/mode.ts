import { defineMode } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { proxyProtocolLimitations } from "../proxy_protocol.ts";
import { IptablesBackend } from "./backend.ts";

export const iptables = defineMode({
  name: "iptables",
  isAutomatic: true,
  flags: {},
  planning: {
    endsTcpConnections: false,
    listsInterfaceAddresses: false,
    defaultNodePortAddresses: "all",
    localhostNodePorts: true,
  },
  sections: { periods: "iptables", masquerade: "iptables" },
  failureMetrics: [
    {
      name: "sync_proxy_rules_iptables_restore_failures_total",
      help: "Cumulative proxy iptables restore failures",
      counts: "all",
    },
    {
      name: "sync_proxy_rules_iptables_partial_restore_failures_total",
      help: "Cumulative proxy iptables partial restore failures",
      counts: "partial",
    },
  ],
  limitationsOf: proxyProtocolLimitations,
  readOptions: () => undefined,
  create: () => withBackendErrors(new IptablesBackend()),
});
