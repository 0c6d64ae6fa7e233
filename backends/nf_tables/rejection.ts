import type { ServicePortPlan } from "../../core/plan/plan.ts";
import { printedName } from "../../core/plan/plan_key.ts";
import { NLA_HDRLEN, NLMSG_HDRLEN } from "../../ffi/netlink/constants.ts";
import {
  type Acknowledgement,
  attribute,
  attributes,
  messages,
  type NetlinkMessage,
} from "../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES, NFPROTO_UNSPEC } from "../../ffi/netlink/nfnetlink.ts";
import * as nft from "./constants.ts";
import { type TableFamily, tableFamilyOfProtocol } from "./families.ts";

/** What the kernel refused of a batch, found again by the number of the message and the place in it. */
export interface Refused {
  /** Undefined for what is about no table. */
  readonly family: TableFamily | undefined;
  readonly action: "add" | "remove";
  readonly object:
    | { readonly kind: "batch" }
    | { readonly kind: "table" }
    | { readonly kind: "chain"; readonly name: string }
    | { readonly kind: "set"; readonly name: string }
    /** "" for the rules of all chains. */
    | { readonly kind: "rules"; readonly name: string }
    /** The key is a binary string; undefined when the kernel did not tell which element. */
    | { readonly kind: "element"; readonly set: string; readonly key: string | undefined };
}

/** Undefined when the batch has no such message. */
export function refusedOf(batch: Uint8Array, answer: Acknowledgement): Refused | undefined {
  for (const message of messages(batch)) {
    if (message.seq === answer.seq) return refused(message, answer.offset);
  }
  return undefined;
}

function refused(message: NetlinkMessage, offset: number | undefined): Refused {
  const { payload } = message;
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES) {
    return { family: undefined, action: "add", object: { kind: "batch" } };
  }
  const name = (type: number) => attribute(payload, type, NFGENMSG_BYTES)?.string() ?? "";
  const about = (action: "add" | "remove", object: Refused["object"]): Refused => ({
    family: tableFamilyOfProtocol(payload[0] ?? NFPROTO_UNSPEC),
    action,
    object,
  });
  const type = message.type & 0xff;
  switch (type) {
    case nft.NFT_MSG_NEWTABLE:
    case nft.NFT_MSG_DELTABLE:
      return about(type === nft.NFT_MSG_NEWTABLE ? "add" : "remove", { kind: "table" });
    case nft.NFT_MSG_NEWCHAIN:
    case nft.NFT_MSG_DELCHAIN:
      return about(type === nft.NFT_MSG_NEWCHAIN ? "add" : "remove", {
        kind: "chain",
        name: name(nft.NFTA_CHAIN_NAME),
      });
    case nft.NFT_MSG_NEWRULE:
    case nft.NFT_MSG_DELRULE:
      return about(type === nft.NFT_MSG_NEWRULE ? "add" : "remove", {
        kind: "rules",
        name: name(nft.NFTA_RULE_CHAIN),
      });
    case nft.NFT_MSG_NEWSET:
    case nft.NFT_MSG_DELSET:
      return about(type === nft.NFT_MSG_NEWSET ? "add" : "remove", {
        kind: "set",
        name: name(nft.NFTA_SET_NAME),
      });
    default:
      return about(type === nft.NFT_MSG_NEWSETELEM ? "add" : "remove", {
        kind: "element",
        set: name(nft.NFTA_SET_ELEM_LIST_SET),
        key: keyAt(payload, offset),
      });
  }
}

/** The key of the element that lies at `offset` from the message's header, or of the only one there is. */
function keyAt(payload: Uint8Array, offset: number | undefined): string | undefined {
  const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
  if (list === undefined) return undefined;
  let only: string | undefined;
  let count = 0;
  for (const element of attributes(list.bytes)) {
    const start = element.bytes.byteOffset - payload.byteOffset + NLMSG_HDRLEN - NLA_HDRLEN;
    const key = element.attribute(nft.NFTA_SET_ELEM_KEY)?.attribute(nft.NFTA_DATA_VALUE)?.latin1();
    if (offset !== undefined && offset >= start && offset < start + NLA_HDRLEN + element.bytes.length) {
      return key;
    }
    only = key;
    count++;
  }
  return count === 1 ? only : undefined;
}

/** What the key of an element of a set is, as people write it; undefined when it cannot be told. */
export type ElementInWords = (family: TableFamily, set: string, key: string) => string | undefined;

/** What was attempted: `add service default/web:http (10.96.0.10:80/TCP) to map service-ips of table ip kube-proxy`. */
export function inWords(
  tableName: string,
  { family, action, object }: Refused,
  culprits: readonly ServicePortPlan[],
  elementInWords: ElementInWords,
): string {
  if (family === undefined || object.kind === "batch") return "change nf_tables";
  const table = `table ${family.keyword} ${tableName}`;
  if (object.kind === "table") return `${action} ${table}`;
  const services = culprits.length === 0 ? undefined : culprits.slice(0, 3).map(printedName).join(", ");
  const what = services === undefined ? "" : ` of service ${services}`;
  switch (object.kind) {
    case "chain":
    case "set":
      return `${action} ${object.kind} ${object.name} of ${table}${what}`;
    case "rules":
      return object.name === ""
        ? `${action} the rules of ${table}`
        : `${action} a rule of chain ${object.name} of ${table}${what}`;
    case "element": {
      const place = `${action === "add" ? "to" : "from"} ${object.set} of ${table}`;
      const element = object.key === undefined ? undefined : elementInWords(family, object.set, object.key);
      if (services === undefined) return `${action} ${element ?? "elements"} ${place}`;
      return `${action} service ${services}${element === undefined ? "" : ` (${element})`} ${place}`;
    }
  }
}
