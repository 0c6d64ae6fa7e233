import { defineMode } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { UserspaceBackend } from "./backend.ts";
import { ListeningBackend } from "./listening/backend.ts";
import { userspaceFlags } from "./flags.ts";
import { limitationsOf } from "./limitations.ts";
import { readUserspaceOptions } from "./options.ts";
import { Relay } from "./relay.ts";
import { setSysctls } from "./sysctls.ts";

export const userspace = defineMode({
  name: "userspace",
  isAutomatic: true,
  flags: userspaceFlags,
  planning: {
    endsTcpConnections: false,
    listsInterfaceAddresses: true,
    defaultNodePortAddresses: "primary",
    localhostNodePorts: true,
  },
  sections: { periods: "iptables", masquerade: "iptables" },
  failureMetrics: [],
  limitationsOf,
  relays: true,
  readOptions: readUserspaceOptions,
  create: (options) =>
    withBackendErrors(
      options.hasRules
        ? new UserspaceBackend(options, Relay.start, undefined, setSysctls)
        : new ListeningBackend(options, Relay.start),
    ),
});
