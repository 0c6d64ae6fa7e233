import { NLM_F_ACK, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { attribute } from "../../ffi/netlink/reader.ts";
import { request } from "../../ffi/netlink/request.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { nfgenmsg } from "./batch.ts";
import * as nft from "./constants.ts";

/** The number that every transaction in this network namespace, whosever it is, adds one to. 32 bits. */
export async function readGeneration(transport: NetlinkTransport, seq: number): Promise<number> {
  const message = new MessageWriter(64);
  message.begin(nft.NFNL_SUBSYS_NFTABLES << 8 | nft.NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, seq);
  nfgenmsg(message, nft.NFPROTO_UNSPEC, 0);
  message.end();
  const [answer] = await request(transport, message, "read the generation of nf_tables");
  if (answer === undefined) return 0;
  return attribute(answer.payload, nft.NFTA_GEN_ID, nft.NFGENMSG_LENGTH)?.u32be() ?? 0;
}
