import * as nft from "../../../backends/nf_tables/constants.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { NFNL_MSG_BATCH_BEGIN, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";

/**
 * A kernel whose tables stay empty.
 * @param rejects returns the name of the errno to reject a message of a batch with; undefined to accept it.
 */
export function emptyKernel(
  rejects: (message: NetlinkMessage) => string | undefined = () => undefined,
): (sent: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>[] {
  return (sent) => {
    const all = [...messages(sent)];
    const [first] = all;
    if (first === undefined) return [];
    if ((first.flags & NLM_F_DUMP) === NLM_F_DUMP) return [answer(NLMSG_DONE, first, 0)];
    if (first.type === nftType(nft.NFT_MSG_GETGEN)) return [answer(NLMSG_ERROR, first, 0)];
    if (!isBatch(sent)) return [answer(NLMSG_ERROR, first, errnoOf("EOPNOTSUPP"))];
    return all.flatMap((message) => {
      const errno = rejects(message);
      return errno === undefined ? [] : [answer(NLMSG_ERROR, message, errnoOf(errno))];
    });
  };
}

export function isBatch(datagram: Uint8Array): boolean {
  const [first] = messages(datagram);
  return first?.type === NFNL_MSG_BATCH_BEGIN;
}

export function nftType(type: number): number {
  return NFNL_SUBSYS_NFTABLES << 8 | type;
}

/** The end of a dump, or an errno. struct nlmsgerr { int error; struct nlmsghdr msg; } */
function answer(type: number, { seq }: NetlinkMessage, errno: number): Uint8Array<ArrayBuffer> {
  const message = new MessageWriter(64);
  message.begin(type, 0, seq);
  message.rawU32le(-errno >>> 0);
  message.rawBytes(new Uint8Array(16));
  message.end();
  return message.bytes().slice();
}
