import { NLM_F_ACK, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { attribute } from "../../ffi/netlink/reader.ts";
import {
  nfgenmsg,
  NFGENMSG_BYTES,
  NFNL_SUBSYS_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import * as nft from "./constants.ts";

/** The number that every transaction in this network namespace, whosever it is, adds one to. 32 bits. */
export async function readGeneration(client: NetlinkClient): Promise<number> {
  const [answer] = await client.request("read the generation of nf_tables", (message, seq) => {
    message.begin(NFNL_SUBSYS_NFTABLES << 8 | nft.NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, seq);
    nfgenmsg(message, NFPROTO_UNSPEC, 0);
    message.end();
  });
  if (answer === undefined) return 0;
  return attribute(answer.payload, nft.NFTA_GEN_ID, NFGENMSG_BYTES)?.u32be() ?? 0;
}
