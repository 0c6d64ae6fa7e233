import {
  addressTypes,
  concatenatedRanges,
  CONNECTION_TRACKING,
  DESTINATION_NAT,
  REJECTING,
  tablesAndSets,
} from "../nf_tables/common_features.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { type Probe, tableProbe } from "../nf_tables/probe.ts";
import { SERVICE_IPS } from "../nf_tables/set/frontends.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/set/shared.ts";
import type { Requirement, Severity } from "../../core/backend/contract.ts";
import type { NodeSettings } from "../../core/plan/plan.ts";
import { AF_INET } from "../../ffi/inet.ts";
import { icmpSocket } from "../../ffi/socket/icmp.ts";
import { closeSocket } from "../../ffi/socket/stream.ts";
import { REDIRECTION_TABLE, TABLE } from "./redirection/chains.ts";
import { LISTENERS, setsOf } from "./redirection/sets.ts";
import { PREFERRED_PORTS, type RedirectionSettings, targetOf } from "./redirection/target.ts";
import { wholeTable } from "./redirection/update.ts";

/** The settings with the preferred ports, for tables that nothing is redirected by. */
export function withPreferredPorts(settings: NodeSettings): RedirectionSettings {
  return { ...settings, target: targetOf(settings), listeners: PREFERRED_PORTS };
}

const sets = (family: TableFamily, ...names: readonly string[]) =>
  setsOf(family, SETTINGS).filter(({ name }) => names.includes(name));

/** They make no difference to these sets. */
const SETTINGS: RedirectionSettings = withPreferredPorts({
  family: "IPv4",
  localTraffic: { mode: "none" },
  masqueradeAll: false,
  masqueradeMark: 1,
  nodePorts: "all",
  interfaceAddresses: [],
  localhostNodePorts: false,
  serviceCidrs: [],
  trafficMetrics: "off",
});

/** Finds out which features of the mode's tables the kernel lacks. */
export const probeTables: Probe = tableProbe(TABLE, [
  tablesAndSets("tables, maps and verdict maps", (family) => sets(family, SERVICE_IPS, LISTENERS.inside)),
  concatenatedRanges((family) => sets(family, FIREWALL_ALLOWED)),
  CONNECTION_TRACKING,
  addressTypes(),
  DESTINATION_NAT,
  REJECTING,
], (batch, family, settings, plans) => {
  const { state, contents } = wholeTable(family, withPreferredPorts(settings), plans);
  writeTable(REDIRECTION_TABLE, batch, { family, settings: state.settings, elements: contents });
});

/**
 * Finds out whether the relay can tell clients that their datagrams are rejected.
 * @param open returns a raw socket; negative if that is forbidden.
 */
export function probeIcmp(severity: Severity, open: () => number = () => icmpSocket(AF_INET)): Requirement {
  const what = { name: "CAP_NET_RAW", severity };
  const fd = open();
  if (fd < 0) {
    return {
      ...what,
      found: false,
      detail:
        "raw sockets are forbidden. Without them, clients of UDP services wait until they give up, instead of " +
        "learning that the endpoints reject their datagrams. Give CAP_NET_RAW to the unit or the container (see " +
        "docs/operations.md#privileges)",
    };
  }
  closeSocket(fd);
  return {
    ...what,
    found: true,
    detail: "clients learn that the endpoints of a UDP service reject their datagrams",
  };
}
