import { NLA_HDRLEN, NLA_TYPE_MASK } from "../../../ffi/netlink/constants.ts";
import { attribute, attributes } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";

/**
 * What stands for a rule in comparisons, made of the contents of NFTA_RULE_EXPRESSIONS as the kernel lists them or
 * `writeExpressions` writes them: equal for rules that do the same, whatever they have counted.
 * @throws RangeError when a length field points outside.
 */
export function comparable(expressions: Uint8Array): string {
  return textOf(expressions, false) ?? textOf(canonical(expressions), true) ?? "";
}

/** Undefined when there is an expression that is not in its canonical form, unless that was asked for. */
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
 * Whether a rule that the kernel lists does the same as one that `writeExpressions` wrote: `comparable` of both, but
 * quicker when it does, as nearly all rules do that are read back.
 */
export function sameExpressions(found: Uint8Array, written: Uint8Array): boolean {
  if (found.length !== written.length) return comparable(found) === comparable(written);
  for (let index = 0; index < written.length; index++) {
    if (found[index] === written[index]) continue;
    const end = endOfCounter(written, index);
    if (end === undefined) return comparable(found) === comparable(written);
    index = end - 1;
  }
  return true;
}

/** Where the counter ends that the byte belongs to; undefined when it belongs to another expression. */
function endOfCounter(expressions: Uint8Array, index: number): number | undefined {
  for (let at = 0; at < expressions.length;) {
    const end = endOf(expressions, at, expressions.length);
    if (index < end) return nameOf(expressions, at, end) === "counter" ? end : undefined;
    at = aligned(end);
  }
  return undefined;
}

/** The chain that a rule's expressions jump to; undefined when they do not. */
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

/**
 * The canonical form of each expression that iptables uses: these attributes, in this order, as Linux 6.18 lists them.
 * A newer kernel may list others behind them; before 5.6 there was but one operation of `bitwise`, and it was not
 * listed.
 */
const canonicalForms: Readonly<Record<string, readonly number[]>> = {
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

/** Whether the expression's NFTA_EXPR_DATA, which starts at `data`, has these attributes and no others. */
function hasCanonicalForm(name: string, bytes: Uint8Array, data: number, end: number): boolean {
  const form = canonicalForms[name];
  // Of expressions that iptables does not use, all of it matters.
  if (form === undefined) return true;
  let count = 0;
  for (let at = data + NLA_HDRLEN; at < end; at = aligned(endOf(bytes, at, end))) {
    if ((u16(bytes, at + 2) & NLA_TYPE_MASK) !== form[count++]) return false;
  }
  return count === form.length;
}

function canonical(expressions: Uint8Array): Uint8Array {
  const message = new MessageWriter(expressions.length, { flagsNests: false });
  for (const element of attributes(expressions)) {
    message.nest(element.type, () => {
      const name = element.attribute(nft.NFTA_EXPR_NAME)?.string() ?? "";
      const data = new Map(
        [...element.attribute(nft.NFTA_EXPR_DATA)?.attributes() ?? []].map((of) => [of.type, of]),
      );
      message.attrString(nft.NFTA_EXPR_NAME, name);
      message.nest(nft.NFTA_EXPR_DATA, () => {
        for (const type of canonicalForms[name] ?? data.keys()) {
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

// An expression in its list: NFTA_LIST_ELEM with NFTA_EXPR_NAME and, for most, NFTA_EXPR_DATA behind it. These read
// what starts at `at` and ends at `end` without making an object of each attribute: there may be millions of them.

/** Its name; the kernel writes it first. */
function nameOf(bytes: Uint8Array, at: number, end: number): string {
  const name = at + NLA_HDRLEN;
  const nameEnd = endOf(bytes, name, end);
  let text = "";
  for (let index = name + NLA_HDRLEN; index < nameEnd && bytes[index] !== 0; index++) {
    text += String.fromCharCode(bytes[index] ?? 0);
  }
  return text;
}

/** Where its NFTA_EXPR_DATA starts; `end` when it has none. */
function dataOf(bytes: Uint8Array, at: number, end: number): number {
  const data = aligned(endOf(bytes, at + NLA_HDRLEN, end));
  return Math.min(data, end);
}

/** Where the attribute that starts at `at` ends, its padding not counted. */
function endOf(bytes: Uint8Array, at: number, limit: number): number {
  const length = at + NLA_HDRLEN > limit ? 0 : u16(bytes, at);
  if (length < NLA_HDRLEN || at + length > limit) {
    throw new RangeError(`nf_tables: an attribute at byte ${at} of a rule's expressions ends outside`);
  }
  return at + length;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}
