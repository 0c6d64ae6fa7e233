import { eachInTurns, type Turns } from "../../../core/async/turns.ts";
import { REFUSAL_REASONS, type Volume } from "../../../core/backend/traffic.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../constants.ts";
import { dumpRequest } from "../dump.ts";
import type { TableFamily } from "../families.ts";
import { readCounters } from "../schema.ts";
import type { Counters } from "./assign.ts";
import { CONNECTIONS, FRONTENDS, refusedSet, UNALLOCATED } from "./counting.ts";
import { FROM_ENDPOINTS, TO_ENDPOINTS } from "./volumes.ts";

/** The counters of a table. */
export interface TableCounters {
  /** Counters by destination: `addressKey`. */
  readonly frontends: ReadonlyMap<string, Counters>;
  /** Packets dropped because no service has the address. */
  readonly unallocated: number;
}

/**
 * Reads the counters of a table. Other work runs meanwhile.
 * @param sets the counting sets that the table has.
 * @param turns see `eachInTurns`.
 */
export async function readTableCounters(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
  sets: readonly string[],
  turns?: Turns,
): Promise<TableCounters> {
  const counts = new Map<string, ReadonlyMap<string, Volume>>();
  const keys = new Set<string>();
  for (const set of sets) {
    if (set === FRONTENDS) continue;
    const volumes = await readCountingSet(client, family, table, set);
    counts.set(set, volumes);
    await eachInTurns(volumes.keys(), (key) => keys.add(key), turns);
  }
  const frontends = new Map<string, Counters>();
  await eachInTurns(keys, (key) => frontends.set(key, countersOf((set) => counts.get(set)?.get(key))), turns);
  const named = await readCounters(client, family, table);
  return { frontends, unallocated: named.get(UNALLOCATED) ?? 0 };
}

/** The counters of a frontend, from its elements in the counting sets. */
function countersOf(volumeIn: (set: string) => Volume | undefined): Counters {
  const toEndpoints = volumeIn(TO_ENDPOINTS);
  const fromEndpoints = volumeIn(FROM_ENDPOINTS);
  return {
    connections: volumeIn(CONNECTIONS)?.packets ?? 0,
    ...(toEndpoints === undefined ? {} : { toEndpoints }),
    ...(fromEndpoints === undefined ? {} : { fromEndpoints }),
    refused: Object.fromEntries(
      REFUSAL_REASONS.map((reason) => [reason, volumeIn(refusedSet(reason))?.packets ?? 0]),
    ),
  };
}

/** Reads a counting set: packets and bytes by key. */
async function readCountingSet(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
  set: string,
): Promise<ReadonlyMap<string, Volume>> {
  const counts = new Map<string, Volume>();
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
        const bytes = counter?.attribute(nft.NFTA_COUNTER_BYTES)?.u64be();
        if (key === undefined || packets === undefined || bytes === undefined) continue;
        counts.set(key, { packets: Number(packets), bytes: Number(bytes) });
      }
    },
    { inBackground: true },
  );
  return counts;
}
