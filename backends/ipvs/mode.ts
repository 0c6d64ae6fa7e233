import { defineMode } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { proxyProtocolLimitations } from "../proxy_protocol.ts";
import { IpvsBackend } from "./backend.ts";
import { SERVICE_DEVICE } from "./device/dummy_device.ts";
import { addIpvsFlags, ipvsFlags } from "./flags.ts";
import { readIpvsOptions } from "./options.ts";

export const ipvs = defineMode({
  name: "ipvs",
  isAutomatic: false,
  flags: ipvsFlags,
  addFlags: addIpvsFlags,
  planning: {
    endsTcpConnections: false,
    listsInterfaceAddresses: true,
    defaultNodePortAddresses: "all",
    localhostNodePorts: false,
  },
  sections: { periods: "ipvs", masquerade: "iptables" },
  failureMetrics: [],
  featureGate: "KubeProxyIPVS",
  serviceDevice: SERVICE_DEVICE,
  limitationsOf: proxyProtocolLimitations,
  readOptions: readIpvsOptions,
  create: (options) => withBackendErrors(new IpvsBackend(options)),
});
