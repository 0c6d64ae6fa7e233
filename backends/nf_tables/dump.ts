import type { WriteMessage } from "../../ffi/netlink/client.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { nfgenmsg, NFNL_SUBSYS_NFTABLES } from "../../ffi/netlink/nfnetlink.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { TableFamily } from "./families.ts";

/**
 * The request to list objects of nf_tables in one family.
 * @param type such as NFT_MSG_GETRULE.
 * @param filter writes the attributes that select the objects; all without it.
 */
export function dumpRequest(
  { nfproto }: Pick<TableFamily, "nfproto">,
  type: number,
  filter: (message: MessageWriter) => void = () => {},
): WriteMessage {
  return (message, seq) => {
    message.begin(NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_REQUEST | NLM_F_DUMP, seq);
    nfgenmsg(message, nfproto, 0);
    filter(message);
    message.end();
  };
}
