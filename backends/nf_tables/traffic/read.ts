import { REFUSAL_REASONS, type RefusalReason } from "../../../core/backend/traffic.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../constants.ts";
import { dumpRequest } from "../dump.ts";
import type { TableFamily } from "../families.ts";
import { readCounters } from "../schema.ts";
import type { Counters } from "./assign.ts";
import { CONNECTIONS, refusedSet, UNALLOCATED } from "./counting.ts";

/** The counters of a table. */
export interface TableCounters {
  /** Counters by destination: `addressKey`. */
  readonly frontends: ReadonlyMap<string, Counters>;
  /** Packets dropped because no service has the address. */
  readonly unallocated: number;
}

/** Reads the counters of a table that has all of them. Other work runs meanwhile. */
export async function readTableCounters(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
): Promise<TableCounters> {
  const connections = await readCountingSet(client, family, table, CONNECTIONS);
  const refusals = new Map<RefusalReason, ReadonlyMap<string, number>>();
  for (const reason of REFUSAL_REASONS) {
    refusals.set(reason, await readCountingSet(client, family, table, refusedSet(reason)));
  }
  const frontends = new Map<string, Counters>();
  for (const key of keysOf(connections, ...refusals.values())) {
    const refused = [...refusals].map(([reason, counts]) => [reason, counts.get(key) ?? 0]);
    frontends.set(key, { connections: connections.get(key) ?? 0, refused: Object.fromEntries(refused) });
  }
  const named = await readCounters(client, family, table);
  return { frontends, unallocated: named.get(UNALLOCATED) ?? 0 };
}

function keysOf(...maps: readonly ReadonlyMap<string, number>[]): ReadonlySet<string> {
  return new Set(maps.flatMap((map) => [...map.keys()]));
}

/** Reads a counting set: packets by key. */
async function readCountingSet(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
  set: string,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  await client.dumpEach(
    `list elements of set ${family.keyword} ${table} ${set}`,
    dumpRequest(family, nft.NFT_MSG_GETSETELEM, (message) => {
      message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, table);
      message.attrString(nft.NFTA_SET_ELEM_LIST_SET, set);
    }),
    ({ payload }) => {
      const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
      for (const element of list?.attributes() ?? []) {
        const key = element.attribute(nft.NFTA_SET_ELEM_KEY)?.attribute(nft.NFTA_DATA_VALUE)?.latin1();
        const counter = element.attribute(nft.NFTA_SET_ELEM_EXPR)?.attribute(nft.NFTA_EXPR_DATA);
        const packets = counter?.attribute(nft.NFTA_COUNTER_PACKETS)?.u64be();
        if (key !== undefined && packets !== undefined) counts.set(key, Number(packets));
      }
    },
    { inBackground: true },
  );
  return counts;
}
