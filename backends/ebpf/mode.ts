import { defineMode } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { EbpfBackend } from "./backend.ts";
import { ebpfFlags } from "./flags.ts";
import { readEbpfOptions } from "./options.ts";
import { limitationsOf } from "./services/limitations.ts";

export const ebpf = defineMode({
  name: "ebpf",
  isAutomatic: false,
  flags: ebpfFlags,
  planning: {
    endsTcpConnections: true,
    listsInterfaceAddresses: true,
    defaultNodePortAddresses: "primary",
    localhostNodePorts: true,
  },
  sections: { periods: "iptables", masquerade: "iptables" },
  failureMetrics: [],
  limitationsOf,
  readOptions: readEbpfOptions,
  create: (options) => withBackendErrors(new EbpfBackend(options)),
});
