import { NLA_HDRLEN, NLA_TYPE_MASK } from "../../../ffi/netlink/constants.ts";
import { attributes } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { IptablesRule } from "../rules/rule.ts";
import type { ActualRule } from "../sync/read.ts";
import { aligned, dataOf, endOf, nameOf, u16 } from "./decode.ts";
import { writeExpressions } from "./encode.ts";

/**
 * A key of a rule's effect. A rule of a plan and the same rule read back from the kernel have the same
 * identity.
 */
export function ruleIdentity(family: TableFamily, rule: IptablesRule): string {
  return expressionsIdentity(encode(family, rule));
}

export function actualIdentity({ expressions }: ActualRule): string {
  return expressionsIdentity(expressions);
}

/** Reports whether a chain with the rules `actual` has exactly the desired rules, in this order. */
export function holdsExactly(
  family: TableFamily,
  actual: readonly ActualRule[],
  desired: readonly IptablesRule[],
): boolean {
  return actual.length === desired.length && desired.every((rule, index) => {
    const there = actual[index];
    return there !== undefined && sameExpressions(there.expressions, encode(family, rule));
  });
}

const scratch = new MessageWriter(4096);

/** The expressions of a rule. The bytes are valid until the next call. */
function encode(family: TableFamily, rule: IptablesRule): Uint8Array {
  scratch.reset();
  writeExpressions(scratch, family, rule);
  return scratch.bytes();
}

/**
 * The identity of a rule by its NFTA_RULE_EXPRESSIONS, as the kernel lists them or `writeExpressions` writes
 * them. Counters do not matter.
 * @throws RangeError when a length field points outside.
 */
export function expressionsIdentity(expressions: Uint8Array): string {
  return textOf(expressions, false) ?? textOf(canonical(expressions), true) ?? "";
}

/**
 * The identity of expressions in their canonical form; undefined if one is in another form.
 * @param isCanonical skips that check.
 */
function textOf(expressions: Uint8Array, isCanonical: boolean): string | undefined {
  let text = "";
  let compared = 0;
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    const name = nameOf(expressions, at, end);
    const data = dataOf(expressions, at, end);
    if (!isCanonical && !hasCanonicalForm(name, expressions, data, end)) return undefined;
    if (name === "counter") {
      // Base64 is the fastest way from bytes to a string.
      text += `${expressions.subarray(compared, data).toBase64()} `;
      compared = end;
    }
    at = aligned(end);
  }
  return text + expressions.subarray(compared).toBase64();
}

/**
 * Reports whether a listed rule has the same identity as one that `writeExpressions` wrote. It is faster than
 * comparing the identities if they are equal, as they are for nearly all rules that are read back.
 */
function sameExpressions(listed: Uint8Array, written: Uint8Array): boolean {
  if (listed.length !== written.length) return expressionsIdentity(listed) === expressionsIdentity(written);
  for (let index = 0; index < written.length; index++) {
    if (listed[index] === written[index]) continue;
    const end = endOfCounter(written, index);
    if (end === undefined) return expressionsIdentity(listed) === expressionsIdentity(written);
    index = end - 1;
  }
  return true;
}

/** The end of the counter that the byte belongs to; undefined if it belongs to another expression. */
function endOfCounter(expressions: Uint8Array, index: number): number | undefined {
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    if (index < end) return nameOf(expressions, at, end) === "counter" ? end : undefined;
    at = aligned(end);
  }
  return undefined;
}

/**
 * The canonical form of each expression that iptables uses: these attributes, in this order, as Linux 6.18
 * lists them. A newer kernel may list more attributes behind them. Before Linux 5.6, `bitwise` had a single
 * operation, which was not listed.
 */
const CANONICAL_FORMS: Readonly<Record<string, readonly number[]>> = {
  bitwise: [
    nft.NFTA_BITWISE_SREG,
    nft.NFTA_BITWISE_DREG,
    nft.NFTA_BITWISE_LEN,
    nft.NFTA_BITWISE_OP,
    nft.NFTA_BITWISE_MASK,
    nft.NFTA_BITWISE_XOR,
  ],
  cmp: [nft.NFTA_CMP_SREG, nft.NFTA_CMP_OP, nft.NFTA_CMP_DATA],
  counter: [nft.NFTA_COUNTER_BYTES, nft.NFTA_COUNTER_PACKETS],
  immediate: [nft.NFTA_IMMEDIATE_DREG, nft.NFTA_IMMEDIATE_DATA],
  match: [nft.NFTA_MATCH_NAME, nft.NFTA_MATCH_REV, nft.NFTA_MATCH_INFO],
  meta: [nft.NFTA_META_KEY, nft.NFTA_META_DREG],
  payload: [nft.NFTA_PAYLOAD_DREG, nft.NFTA_PAYLOAD_BASE, nft.NFTA_PAYLOAD_OFFSET, nft.NFTA_PAYLOAD_LEN],
  target: [nft.NFTA_TARGET_NAME, nft.NFTA_TARGET_REV, nft.NFTA_TARGET_INFO],
};

/**
 * Reports whether the NFTA_EXPR_DATA at offset `data` has the attributes of the canonical form and no others.
 */
function hasCanonicalForm(name: string, bytes: Uint8Array, data: number, end: number): boolean {
  const form = CANONICAL_FORMS[name];
  // Expressions that iptables does not use are compared as a whole.
  if (form === undefined) return true;
  let count = 0;
  for (let at = data + NLA_HDRLEN; at < end; at = aligned(endOf(bytes, at, end))) {
    if ((u16(bytes, at + 2) & NLA_TYPE_MASK) !== form[count++]) return false;
  }
  return count === form.length;
}

/** Rewrites every expression in its canonical form. */
function canonical(expressions: Uint8Array): Uint8Array {
  const message = new MessageWriter(expressions.length, { nestedFlag: false });
  for (const element of attributes(expressions)) {
    message.nest(element.type, () => {
      const name = element.attribute(nft.NFTA_EXPR_NAME)?.string() ?? "";
      const data = new Map(
        [...element.attribute(nft.NFTA_EXPR_DATA)?.attributes() ?? []].map((of) => [of.type, of]),
      );
      message.attrString(nft.NFTA_EXPR_NAME, name);
      message.nest(nft.NFTA_EXPR_DATA, () => {
        for (const type of CANONICAL_FORMS[name] ?? data.keys()) {
          const listed = data.get(type);
          if (listed !== undefined) message.attrBytes(type, listed.bytes);
          else if (name === "bitwise" && type === nft.NFTA_BITWISE_OP) {
            message.attrU32be(type, nft.NFT_BITWISE_BOOL);
          }
        }
      });
    });
  }
  return message.bytes();
}
