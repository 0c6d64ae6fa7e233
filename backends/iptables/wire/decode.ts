import { NLA_HDRLEN } from "../../../ffi/netlink/constants.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../../nf_tables/constants.ts";

// NFTA_RULE_EXPRESSIONS is a list of NFTA_LIST_ELEM, each with NFTA_EXPR_NAME and, in most cases,
// NFTA_EXPR_DATA behind it. The functions here take an expression by the offsets `at` and `end` of its
// NFTA_LIST_ELEM and make no object per attribute, because there may be millions of expressions.

/** Decodes the chain that a rule's expressions jump to; undefined if they do not jump. */
export function jumpTargetOf(expressions: Uint8Array): string | undefined {
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    if (nameOf(expressions, at, end) === "immediate") {
      const data = expressions.subarray(dataOf(expressions, at, end), end);
      const verdict = attribute(data, nft.NFTA_IMMEDIATE_DATA, NLA_HDRLEN)?.attribute(nft.NFTA_DATA_VERDICT);
      const chain = verdict?.attribute(nft.NFTA_VERDICT_CHAIN);
      if (chain !== undefined) return chain.string();
    }
    at = aligned(end);
  }
  return undefined;
}

/** Decodes the packets that a rule has counted; 0 if it does not count. */
export function packetsOf(expressions: Uint8Array): number {
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    if (nameOf(expressions, at, end) === "counter") {
      const data = expressions.subarray(dataOf(expressions, at, end), end);
      return Number(attribute(data, nft.NFTA_COUNTER_PACKETS, NLA_HDRLEN)?.u64be() ?? 0n);
    }
    at = aligned(end);
  }
  return 0;
}

/** Decodes the text of `-m comment`; undefined without one. */
export function commentOf(expressions: Uint8Array): string | undefined {
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    if (nameOf(expressions, at, end) === "match") {
      const data = expressions.subarray(dataOf(expressions, at, end), end);
      if (attribute(data, nft.NFTA_MATCH_NAME, NLA_HDRLEN)?.string() === "comment") {
        return attribute(data, nft.NFTA_MATCH_INFO, NLA_HDRLEN)?.string();
      }
    }
    at = aligned(end);
  }
  return undefined;
}

/** The name of an expression. The kernel writes it before the data. */
export function nameOf(bytes: Uint8Array, at: number, end: number): string {
  const name = at + NLA_HDRLEN;
  const nameEnd = endOf(bytes, name, end);
  let text = "";
  for (let index = name + NLA_HDRLEN; index < nameEnd && bytes[index] !== 0; index++) {
    text += String.fromCharCode(bytes[index] ?? 0);
  }
  return text;
}

/** The offset of an expression's NFTA_EXPR_DATA; `end` if it has none. */
export function dataOf(bytes: Uint8Array, at: number, end: number): number {
  const data = aligned(endOf(bytes, at + NLA_HDRLEN, end));
  return Math.min(data, end);
}

/**
 * The end of the attribute at offset `at`, without its padding.
 * @throws RangeError when the attribute does not end before `limit`.
 */
export function endOf(bytes: Uint8Array, at: number, limit: number): number {
  const length = at + NLA_HDRLEN > limit ? 0 : u16(bytes, at);
  if (length < NLA_HDRLEN || at + length > limit) {
    throw new RangeError(
      `nf_tables: the attribute at byte ${at} of a rule's expressions has an invalid length`,
    );
  }
  return at + length;
}

/** The number at offset `at`, in host byte order: our hosts are little-endian. */
export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
}

/** The offset of the attribute that follows one that ends at `end`. */
export function aligned(end: number): number {
  return (end + 3) & ~3;
}
