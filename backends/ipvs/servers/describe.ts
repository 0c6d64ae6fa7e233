import { type Address, formatAddress } from "../../../core/net/address.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { SERVICE_DEVICE } from "../device/dummy_device.ts";
import type { LinkAddress } from "../device/link_address.ts";
import { describeCommand, type IpvsCommand } from "../protocol/encode.ts";
import { TABLE } from "../tables/chains.ts";
import type { ServerDifference } from "./diff.ts";

export interface Differences {
  /** Families without a table. An existing table is replaced without a comparison. */
  readonly missingTables: readonly TableFamily[];
  readonly servers: ServerDifference;
  readonly addresses: SetDifference<Address, LinkAddress>;
}

/** Renders for the log what a reconcile does. */
export function describeDifferences(
  { missingTables, servers: { added, changed, removed, realServers }, addresses }: Differences,
): string[] {
  const each = <Item>(items: readonly Item[], command: (item: Item) => IpvsCommand) =>
    items.map((item) => describeCommand(command(item)));
  return [
    ...missingTables.map(({ keyword }) => `add table ${keyword} ${TABLE.name}`),
    ...each(added, (server) => ({ verb: "add", server })),
    ...each(changed, (server) => ({ verb: "change", server })),
    ...each(removed, (server) => ({ verb: "remove", server })),
    ...each(realServers.added, (assignment) => ({ verb: "add real", ...assignment })),
    ...each(realServers.changed, (assignment) => ({ verb: "change real", ...assignment })),
    ...each(realServers.removed, (assignment) => ({ verb: "remove real", ...assignment })),
    ...addresses.added.map((address) => `add address ${formatAddress(address)} to ${SERVICE_DEVICE}`),
    ...addresses.removed.map(({ address }) =>
      `remove address ${formatAddress(address)} from ${SERVICE_DEVICE}`
    ),
  ];
}
