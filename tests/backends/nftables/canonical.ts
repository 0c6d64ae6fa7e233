import * as nft from "../../../backends/nf_tables/constants.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES, NFPROTO_IPV4 } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute, attributes, messages } from "../../../ffi/netlink/reader.ts";

/** What one message of a batch creates, in a form that two programs that mean the same agree in. */
export interface Created {
  readonly kind: "table" | "chain" | "set" | "rule" | "element";
  readonly family: "ip" | "ip6";
  /** The table's, chain's or set's own name; a rule's chain; an element's set. */
  readonly name: string;
  /** Base64 of the attributes, without the numbers by which a batch refers to its own sets; a rule's without its place. */
  readonly bytes: string;
}

const kinds: ReadonlyMap<number, Created["kind"]> = new Map([
  [nft.NFT_MSG_NEWTABLE, "table"],
  [nft.NFT_MSG_NEWCHAIN, "chain"],
  [nft.NFT_MSG_NEWSET, "set"],
  [nft.NFT_MSG_NEWRULE, "rule"],
  [nft.NFT_MSG_NEWSETELEM, "element"],
]);

const nameAttributes: Readonly<Record<Created["kind"], number>> = {
  table: nft.NFTA_TABLE_NAME,
  chain: nft.NFTA_CHAIN_NAME,
  set: nft.NFTA_SET_NAME,
  rule: nft.NFTA_RULE_CHAIN,
  element: nft.NFTA_SET_ELEM_LIST_SET,
};

/** Everything a batch creates, in its order. Elements come one by one. */
export function createdBy(batch: Uint8Array): Created[] {
  const created: Created[] = [];
  for (const { type, payload } of messages(batch)) {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    const kind = kinds.get(type & 0xff);
    if (kind === undefined) continue;
    const family = payload[0] === NFPROTO_IPV4 ? "ip" : "ip6";
    const name = attribute(payload, nameAttributes[kind], NFGENMSG_BYTES)?.string() ?? "";
    if (kind !== "element") {
      created.push({ kind, family, name, bytes: base64(withoutIds(kind, payload)) });
      continue;
    }
    const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
    for (const element of list?.attributes() ?? []) {
      created.push({ kind, family, name, bytes: base64(element.bytes) });
    }
  }
  return created;
}

function withoutIds(kind: Created["kind"], payload: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const field of attributes(payload, NFGENMSG_BYTES)) {
    if (kind === "set" && field.type === nft.NFTA_SET_ID) continue;
    // A rule is the same in whatever chain it is.
    if (kind === "rule" && (field.type === nft.NFTA_RULE_TABLE || field.type === nft.NFTA_RULE_CHAIN)) {
      continue;
    }
    if (kind === "rule" && field.type === nft.NFTA_RULE_EXPRESSIONS) {
      for (const expression of field.attributes()) parts.push(...expressionWithoutIds(expression.bytes));
    } else parts.push(tagged(field.type, field.bytes));
  }
  return joined(parts);
}

const idsByExpression: ReadonlyMap<string, number> = new Map([
  ["lookup", nft.NFTA_LOOKUP_SET_ID],
  ["dynset", 2], // NFTA_DYNSET_SET_ID
]);

function* expressionWithoutIds(expression: Uint8Array): Generator<Uint8Array> {
  const name = attribute(expression, nft.NFTA_EXPR_NAME)?.string() ?? "";
  yield new TextEncoder().encode(`${name}\n`);
  for (const field of attribute(expression, nft.NFTA_EXPR_DATA)?.attributes() ?? []) {
    if (field.type !== idsByExpression.get(name)) yield tagged(field.type, field.bytes);
  }
}

function tagged(type: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([type, bytes.length >> 8, bytes.length & 0xff, ...bytes]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** What goldens.json calls a created thing, rules excepted: they are called by their text. */
export function goldenName({ kind, family, name }: Created): string {
  return kind === "element" ? `${family} elements of ${name}` : `${family} ${kind} ${name}`;
}

/** Goldens that are rules are called by this and their text. */
export function ruleName(family: string, text: string): string {
  return `${family} rule: ${text}`;
}
