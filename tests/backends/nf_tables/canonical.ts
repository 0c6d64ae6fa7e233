import * as nft from "../../../backends/nf_tables/constants.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES, NFPROTO_IPV4 } from "../../../ffi/netlink/nfnetlink.ts";
import { type Attribute, attribute, attributes, messages } from "../../../ffi/netlink/reader.ts";

/**
 * An object that a message of a batch creates, in a form that is equal for programs that create the same
 * object.
 */
export interface Created {
  readonly kind: "table" | "chain" | "set" | "counter" | "rule" | "element";
  readonly family: "ip" | "ip6";
  /** Name of the table, chain, set or counter; for a rule its chain, for an element its set. */
  readonly name: string;
  /**
   * The attributes in base64, without the ids of sets in the batch, and for a rule without its table and
   * chain.
   */
  readonly bytes: string;
}

const KINDS: ReadonlyMap<number, Created["kind"]> = new Map([
  [nft.NFT_MSG_NEWTABLE, "table"],
  [nft.NFT_MSG_NEWCHAIN, "chain"],
  [nft.NFT_MSG_NEWSET, "set"],
  [nft.NFT_MSG_NEWOBJ, "counter"],
  [nft.NFT_MSG_NEWRULE, "rule"],
  [nft.NFT_MSG_NEWSETELEM, "element"],
]);

const NAME_ATTRIBUTES: Readonly<Record<Created["kind"], number>> = {
  table: nft.NFTA_TABLE_NAME,
  chain: nft.NFTA_CHAIN_NAME,
  set: nft.NFTA_SET_NAME,
  counter: nft.NFTA_OBJ_NAME,
  rule: nft.NFTA_RULE_CHAIN,
  element: nft.NFTA_SET_ELEM_LIST_SET,
};

/** All objects that a batch creates, in their order, with each element on its own. */
export function createdBy(batch: Uint8Array): Created[] {
  const created: Created[] = [];
  for (const { type, payload } of messages(batch)) {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    const kind = KINDS.get(type & 0xff);
    if (kind === undefined) continue;
    const family = payload[0] === NFPROTO_IPV4 ? "ip" : "ip6";
    const name = attribute(payload, NAME_ATTRIBUTES[kind], NFGENMSG_BYTES)?.string() ?? "";
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
    // nft sends the size that the kernel lists for a set that rules fill. We leave it to the kernel.
    if (kind === "set" && field.type === nft.NFTA_SET_DESC && sizeIn(field) === KERNELS_SIZE) continue;
    // The bytes of a rule do not depend on its chain.
    if (kind === "rule" && (field.type === nft.NFTA_RULE_TABLE || field.type === nft.NFTA_RULE_CHAIN)) {
      continue;
    }
    if (kind === "rule" && field.type === nft.NFTA_RULE_EXPRESSIONS) {
      for (const expression of field.attributes()) parts.push(...expressionWithoutIds(expression.bytes));
    } else parts.push(tagged(field.type, field.bytes));
  }
  return joined(parts);
}

const KERNELS_SIZE = 65535;

function sizeIn(description: Attribute): number | undefined {
  return description.attribute(nft.NFTA_SET_DESC_SIZE)?.u32be();
}

const ID_ATTRIBUTES: ReadonlyMap<string, number> = new Map([
  ["lookup", nft.NFTA_LOOKUP_SET_ID],
  ["dynset", 2], // NFTA_DYNSET_SET_ID
]);

function* expressionWithoutIds(expression: Uint8Array): Generator<Uint8Array> {
  const name = attribute(expression, nft.NFTA_EXPR_NAME)?.string() ?? "";
  // nft 1.0.6 converts one byte in keys of interval sets, which changes nothing: see notFromRangeOf.
  if (name === "byteorder") return;
  yield new TextEncoder().encode(`${name}\n`);
  for (const field of attribute(expression, nft.NFTA_EXPR_DATA)?.attributes() ?? []) {
    if (field.type !== ID_ATTRIBUTES.get(name)) yield tagged(field.type, field.bytes);
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

/** The name in goldens.json of an object that is not a rule. */
export function goldenName({ kind, family, name }: Created): string {
  return kind === "element" ? `${family} elements of ${name}` : `${family} ${kind} ${name}`;
}

/** The name in goldens.json of a rule. */
export function ruleName(family: string, text: string): string {
  return `${family} rule: ${text}`;
}
