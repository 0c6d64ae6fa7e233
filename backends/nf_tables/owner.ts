import type { Requirement } from "../../core/backend/contract.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import { processOfPort } from "../../ffi/netlink/port_owner.ts";
import { attribute } from "../../ffi/netlink/reader.ts";
import * as nft from "./constants.ts";
import { dumpRequest } from "./dump.ts";
import { TABLE_FAMILIES, type TableFamily } from "./families.ts";

/** A table with the flag `owner`: only the socket that made it may change it, and it goes with that socket. */
export interface OwnedTable {
  readonly family: TableFamily;
  readonly name: string;
  /** Netlink port id of the owner's socket. */
  readonly portId: number;
}

/**
 * Lists the tables of these names that another program owns (NFT_TABLE_F_OWNER, since Linux 5.12).
 * @throws KernelError if the tables cannot be listed.
 */
export async function ownedTables(
  client: NetlinkClient,
  names: readonly string[],
): Promise<readonly OwnedTable[]> {
  const owned: OwnedTable[] = [];
  for (const family of TABLE_FAMILIES) {
    const request = dumpRequest(family, nft.NFT_MSG_GETTABLE);
    for (const { payload } of await client.dump(`list tables of family ${family.keyword}`, request)) {
      const name = attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string() ?? "";
      const portId = attribute(payload, nft.NFTA_TABLE_OWNER, NFGENMSG_BYTES)?.u32be();
      if (portId !== undefined && names.includes(name)) owned.push({ family, name, portId });
    }
  }
  return owned;
}

/** Explains that a table is another program's, with its process if it can be found, and what to do. */
export function describeOwned({ family, name, portId }: OwnedTable): string {
  const owner = processOfPort(NETLINK_NETFILTER, portId);
  const who = owner === undefined
    ? `a program that is not visible from here (netlink port ${portId})`
    : `${owner.name} (pid ${owner.pid})`;
  return `Table ${family.keyword} ${name} belongs to ${who}, and nobody else may change or delete it (flag owner). ` +
    "Stop that program, or let it use another name";
}

/** The requirement that no other program owns a table that the mode writes. Until then every sync is rejected. */
export function foreignTables(owned: readonly OwnedTable[]): Requirement {
  return {
    name: "tables without another owner",
    severity: "recommended",
    found: false,
    detail: `${owned.map(describeOwned).join(". ")}. Until then no rule can be programmed; it is tried again`,
  };
}
