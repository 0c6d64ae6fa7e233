import { defineMode, type PlanningTraits } from "../../core/backend/mode.ts";
import { withBackendErrors } from "../backend_errors.ts";
import { UserspaceBackend } from "./backend.ts";
import { ListeningBackend } from "./listening/backend.ts";
import { userspaceFlags } from "./flags.ts";
import { limitationsOf } from "./limitations.ts";
import { readUserspaceOptions } from "./options.ts";
import { Relay } from "./relay.ts";
import { setSysctls } from "./sysctls.ts";

const planning: PlanningTraits = {
  endsTcpConnections: false,
  listsInterfaceAddresses: true,
  defaultNodePortAddresses: "primary",
  localhostNodePorts: true,
};

export const userspace = defineMode({
  name: "userspace",
  isAutomatic: true,
  flags: userspaceFlags,
  planning,
  // Without rules, one socket listens on every address.
  planningOf: ({ hasRules }) =>
    hasRules ? planning : { ...planning, listsInterfaceAddresses: false, defaultNodePortAddresses: "all" },
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
