import { NLA_F_NESTED, NLA_HDRLEN } from "../../../ffi/netlink/constants.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { ActualRule } from "../sync/read.ts";
import { aligned, dataOf, endOf, nameOf } from "./decode.ts";

/**
 * Writes the attributes of NFT_MSG_NEWRULE that make a listed rule again, with the values of its counter.
 * NFTA_RULE_COMPAT, which the kernel never lists, is derived from the rule's test of the protocol.
 */
export function writeListedRule(message: MessageWriter, { expressions, userdata }: ActualRule): void {
  message.attrBytes(nft.NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, expressions);
  const test = protocolTest(expressions);
  if (test !== undefined) {
    message.nest(nft.NFTA_RULE_COMPAT, () => {
      message.attrU32be(nft.NFTA_RULE_COMPAT_PROTO, test.protocol);
      message.attrU32be(nft.NFTA_RULE_COMPAT_FLAGS, test.isInverted ? nft.NFT_RULE_COMPAT_F_INV : 0);
    });
  }
  if (userdata !== undefined) message.attrBytes(nft.NFTA_RULE_USERDATA, userdata);
}

interface ProtocolTest {
  readonly protocol: number;
  readonly isInverted: boolean;
}

/** Decodes `-p tcp` or `! -p tcp`, which is `meta l4proto` and a comparison; undefined without one. */
function protocolTest(expressions: Uint8Array): ProtocolTest | undefined {
  let isLoaded = false;
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    const name = nameOf(expressions, at, end);
    const data = expressions.subarray(dataOf(expressions, at, end), end);
    if (name === "meta") {
      isLoaded = attribute(data, nft.NFTA_META_KEY, NLA_HDRLEN)?.u32be() === nft.NFT_META_L4PROTO;
    } else if (name === "cmp" && isLoaded) {
      const value = attribute(data, nft.NFTA_CMP_DATA, NLA_HDRLEN)?.attribute(nft.NFTA_DATA_VALUE);
      const isInverted = attribute(data, nft.NFTA_CMP_OP, NLA_HDRLEN)?.u32be() === nft.NFT_CMP_NEQ;
      return { protocol: value?.bytes[0] ?? 0, isInverted };
    }
    at = aligned(end);
  }
  return undefined;
}
