import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../../nf_tables/constants.ts";
import { dumpRequest } from "../../nf_tables/dump.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { TableSchema } from "../../nf_tables/schema.ts";
import { protocolByte } from "../../nf_tables/set/keys.ts";
import type { RelayedProtocol, Side } from "../relay/messages.ts";
import { TABLE } from "./chains.ts";
import { LISTENERS } from "./sets.ts";
import { type ListenerPorts, PREFERRED_PORTS, RELAYED_PROTOCOLS } from "./target.ts";

/**
 * Reads the ports that the table of an earlier process leads to. A relay that listens there again serves the frontends
 * before the table is written anew.
 * @param schema undefined if the table does not exist.
 * @returns the preferred ports where the table has none.
 */
export async function readPorts(
  client: NetlinkClient,
  family: TableFamily,
  schema: TableSchema | undefined,
): Promise<ListenerPorts> {
  const portsOf = async (side: Side) => {
    const found = schema?.sets.has(LISTENERS[side])
      ? await portsIn(client, family, LISTENERS[side])
      : new Map();
    const preferred = PREFERRED_PORTS[side];
    return { TCP: found.get("TCP") ?? preferred.TCP, UDP: found.get("UDP") ?? preferred.UDP };
  };
  return { inside: await portsOf("inside"), outside: await portsOf("outside") };
}

/** The ports in the values of a map of listeners, by protocol. */
async function portsIn(
  client: NetlinkClient,
  family: TableFamily,
  map: string,
): Promise<Map<RelayedProtocol, number>> {
  const ports = new Map<RelayedProtocol, number>();
  await client.dumpEach(
    `list elements of map ${family.keyword} ${TABLE.name} ${map}`,
    dumpRequest(family, nft.NFT_MSG_GETSETELEM, (message) => {
      message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, TABLE.name);
      message.attrString(nft.NFTA_SET_ELEM_LIST_SET, map);
    }),
    ({ payload }) => {
      const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
      for (const element of list?.attributes() ?? []) {
        const key = element.attribute(nft.NFTA_SET_ELEM_KEY)?.attribute(nft.NFTA_DATA_VALUE)?.latin1();
        const value = element.attribute(nft.NFTA_SET_ELEM_DATA)?.attribute(nft.NFTA_DATA_VALUE)?.bytes;
        const protocol = RELAYED_PROTOCOLS.find((one) => key?.[0] === protocolByte(one));
        if (protocol === undefined || value === undefined) continue;
        const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
        if (value.length >= family.addressBytes + 2) ports.set(protocol, view.getUint16(family.addressBytes));
      }
    },
  );
  return ports;
}
