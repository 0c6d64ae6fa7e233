import type { TableFamily } from "./families.ts";
import { u32le } from "./set/keys.ts";

/**
 * User data: bytes that the kernel stores for user space. nft reads from them what the object itself does not
 * contain: comments, and the fields of a set's key. libnftnl/udata.h, nftables/include/{expression,proto}.h
 */

const NFTNL_UDATA_COMMENT = 0; // same number for tables, chains, rules and elements. libnftnl/udata.h
const NFTNL_UDATA_SET_KEYBYTEORDER = 0; // libnftnl/udata.h
const NFTNL_UDATA_SET_DATABYTEORDER = 1; // libnftnl/udata.h
const NFTNL_UDATA_SET_KEY_TYPEOF = 3; // libnftnl/udata.h
const NFTNL_UDATA_SET_DATA_TYPEOF = 4; // libnftnl/udata.h
const NFTNL_UDATA_SET_DATA_INTERVAL = 6; // libnftnl/udata.h
const NFTNL_UDATA_SET_COMMENT = 7; // libnftnl/udata.h
const NFTNL_UDATA_SET_TYPEOF_EXPR = 0; // libnftnl/udata.h
const NFTNL_UDATA_SET_TYPEOF_DATA = 1; // libnftnl/udata.h

const BYTEORDER_INVALID = 0; // nftables/include/datatype.h
const BYTEORDER_HOST_ENDIAN = 1; // nftables/include/datatype.h
const BYTEORDER_BIG_ENDIAN = 2; // nftables/include/datatype.h

const EXPR_VERDICT = 1; // nftables/include/expression.h, enum expr_types
const EXPR_PAYLOAD = 7; // nftables/include/expression.h
const EXPR_META = 9; // nftables/include/expression.h
const EXPR_CONCAT = 13; // nftables/include/expression.h
const EXPR_NUMGEN = 23; // nftables/include/expression.h
const PROTO_DESC_TH = 11; // nftables/include/proto.h, enum proto_desc_id
const PROTO_DESC_IP = 12; // nftables/include/proto.h
const PROTO_DESC_IP6 = 13; // nftables/include/proto.h
const THDR_DPORT = 2; // nftables/include/proto.h
const IPHDR_DADDR = 12; // nftables/include/proto.h
const IP6HDR_DADDR = 9; // nftables/include/proto.h
const NFT_META_L4PROTO = 16; // linux/netfilter/nf_tables.h
const NFT_NG_RANDOM = 1; // linux/netfilter/nf_tables.h

/** nft does not load longer comments. nftables/include/rule.h, NFTNL_UDATA_COMMENT_MAXLEN */
const COMMENT_MAX_BYTES = 128;

/** Truncates a comment. Names of the API are ASCII, with one byte per character. */
export function truncatedComment(text: string): string {
  return text.slice(0, COMMENT_MAX_BYTES);
}

/**
 * User data of a table, chain, rule or element with nothing but a comment. A binary string, as all user data
 * here.
 */
export function comment(text: string): string {
  return tlv(NFTNL_UDATA_COMMENT, `${text}\0`);
}

/** Declaration of a set's key or a map's value. */
export type Declared =
  /** `type ipv4_addr` */
  | { readonly by: "type" }
  /** `type ipv4_addr . inet_proto` */
  | { readonly by: "concatenated types" }
  /** `typeof ip daddr . th dport`: each field comes from a function below */
  | { readonly by: "typeof"; readonly fields: readonly string[] };

/** User data of a set or map. `data` is undefined for sets. */
export function set(key: Declared, data: Declared | "verdict" | undefined, text: string): string {
  const keyOrder = key.by === "type" ? BYTEORDER_BIG_ENDIAN : BYTEORDER_INVALID;
  let userdata = tlv(NFTNL_UDATA_SET_KEYBYTEORDER, u32le(keyOrder));
  if (data !== undefined) userdata += tlv(NFTNL_UDATA_SET_DATABYTEORDER, u32le(BYTEORDER_INVALID));
  userdata += typeOf(NFTNL_UDATA_SET_KEY_TYPEOF, key);
  if (data !== undefined && data !== "verdict") userdata += typeOf(NFTNL_UDATA_SET_DATA_TYPEOF, data);
  if (data !== undefined) userdata += tlv(NFTNL_UDATA_SET_DATA_INTERVAL, u32le(0));
  if (text !== "") userdata += tlv(NFTNL_UDATA_SET_COMMENT, `${text}\0`);
  return userdata;
}

/** User data of a rule's anonymous map from a random number to a verdict: `numgen random mod 2 vmap { … }` */
export function choiceMap(): string {
  return tlv(NFTNL_UDATA_SET_KEYBYTEORDER, u32le(BYTEORDER_HOST_ENDIAN)) +
    tlv(NFTNL_UDATA_SET_DATABYTEORDER, u32le(BYTEORDER_INVALID)) +
    tlv(NFTNL_UDATA_SET_DATA_TYPEOF, typeofExpression(EXPR_VERDICT, "")) +
    tlv(NFTNL_UDATA_SET_DATA_INTERVAL, u32le(0));
}

/** `ip daddr` */
export function typeofDestination({ keyword }: TableFamily): string {
  return keyword === "ip" ? payload(PROTO_DESC_IP, IPHDR_DADDR) : payload(PROTO_DESC_IP6, IP6HDR_DADDR);
}

/** `th dport` */
export const typeofDestinationPort = payload(PROTO_DESC_TH, THDR_DPORT);

/** `meta l4proto` */
export const typeofProtocol = typeofExpression(EXPR_META, tlv(0, u32le(NFT_META_L4PROTO)));

/** `numgen random mod N` */
export function typeofRandom(modulus: number): string {
  return typeofExpression(
    EXPR_NUMGEN,
    tlv(0, u32le(NFT_NG_RANDOM)) + tlv(1, u32le(modulus)) + tlv(2, u32le(0)),
  );
}

function typeOf(attribute: number, declared: Declared): string {
  switch (declared.by) {
    case "type":
      return "";
    case "concatenated types":
      return tlv(attribute, typeofExpression(EXPR_CONCAT, ""));
    case "typeof": {
      const [only = "", ...others] = declared.fields;
      if (others.length === 0) return tlv(attribute, only);
      const fields = declared.fields.map((field, index) => tlv(index, field)).join("");
      return tlv(attribute, typeofExpression(EXPR_CONCAT, fields));
    }
  }
}

function payload(protocol: number, field: number): string {
  return typeofExpression(EXPR_PAYLOAD, tlv(0, u32le(protocol)) + tlv(1, u32le(field)));
}

function typeofExpression(expression: number, fields: string): string {
  return tlv(NFTNL_UDATA_SET_TYPEOF_EXPR, u32le(expression)) + tlv(NFTNL_UDATA_SET_TYPEOF_DATA, fields);
}

/** struct nftnl_udata { uint8_t type, len; unsigned char value[]; } */
function tlv(type: number, value: string): string {
  return String.fromCharCode(type, value.length) + value;
}
