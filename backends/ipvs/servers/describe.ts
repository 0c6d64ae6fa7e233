import { type Address, formatAddress } from "../../../core/net/address.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { LinkAddress } from "../device/link_address.ts";
import { SERVICE_DEVICE } from "../device/service_device.ts";
import { inWords, type IpvsCommand } from "../protocol/encode.ts";
import { TABLE } from "../tables/chains.ts";
import type { ServerDifference } from "./diff.ts";

export interface Differences {
  /** That were not there. Those that were are written anew, without a look at what is in them. */
  readonly tables: readonly TableFamily[];
  readonly servers: ServerDifference;
  readonly addresses: SetDifference<Address, LinkAddress>;
}

/** What had to be done to make the kernel as it should be, for the log. */
export function differencesInWords(
  { tables, servers: { added, changed, removed, realServers }, addresses }: Differences,
): string[] {
  const toEach = <Given>(given: readonly Given[], command: (one: Given) => IpvsCommand) =>
    given.map((one) => inWords(command(one)));
  return [
    ...tables.map(({ keyword }) => `add table ${keyword} ${TABLE.name}`),
    ...toEach(added, (server) => ({ verb: "add", server })),
    ...toEach(changed, (server) => ({ verb: "change", server })),
    ...toEach(removed, (server) => ({ verb: "remove", server })),
    ...toEach(realServers.added, (assignment) => ({ verb: "add real", ...assignment })),
    ...toEach(realServers.changed, (assignment) => ({ verb: "change real", ...assignment })),
    ...toEach(realServers.removed, (assignment) => ({ verb: "remove real", ...assignment })),
    ...addresses.added.map((address) => `add address ${formatAddress(address)} to ${SERVICE_DEVICE}`),
    ...addresses.removed.map(({ address }) =>
      `remove address ${formatAddress(address)} from ${SERVICE_DEVICE}`
    ),
  ];
}
