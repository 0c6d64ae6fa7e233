import type { BackendError } from "../../core/backend/contract.ts";
import { printedName, type ServicePortPlan } from "../../core/plan/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { NLA_HDRLEN, NLMSG_HDRLEN } from "../../ffi/netlink/constants.ts";
import { type Rejected, rejectionError } from "../../ffi/netlink/exchange.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES, NFPROTO_UNSPEC } from "../../ffi/netlink/nfnetlink.ts";
import {
  type Acknowledgement,
  attribute,
  attributes,
  messages,
  type NetlinkMessage,
} from "../../ffi/netlink/reader.ts";
import { backendError } from "../backend_errors.ts";
import * as nft from "./constants.ts";
import { type TableFamily, tableFamilyOfProtocol } from "./families.ts";

/** The change that the kernel rejected. */
export interface Rejection {
  /** Undefined when the object is not in a table. */
  readonly family: TableFamily | undefined;
  readonly action: "add" | "remove";
  readonly object:
    | { readonly kind: "batch" }
    | { readonly kind: "table" }
    | { readonly kind: "chain"; readonly name: string }
    | { readonly kind: "set"; readonly name: string }
    /** The name of their chain; "" for the rules of all chains. */
    | { readonly kind: "rules"; readonly name: string }
    /** The key is a binary string; undefined when the kernel did not tell which element. */
    | { readonly kind: "element"; readonly set: string; readonly key: string | undefined };
}

/** Renders the key of an element, a binary string; undefined when it cannot. */
export type DescribeElement = (family: TableFamily, set: string, key: string) => string | undefined;

/** Facts about a mode's tables that explain a rejection. */
export interface RejectionContext {
  readonly mode: string;
  /** Name of the mode's tables. */
  readonly table: string;
  /** Returns the plans that have the rejected object. */
  readonly rejectedPlans: (rejection: Rejection) => readonly ServicePortPlan[];
  readonly describeElement: DescribeElement;
  /** Called when an object that we programmed is missing. */
  readonly onDrift: (what: string) => void;
}

/**
 * Explains why the kernel rejected a batch.
 * @param answer about the first rejected message; the rejections after it are often its consequences.
 */
export function explainRejection(
  batch: Uint8Array,
  answer: Rejected,
  { mode, table, rejectedPlans, describeElement, onDrift }: RejectionContext,
): BackendError {
  const rejection = decodeRejection(batch, answer);
  if (rejection === undefined) return backendError(mode, rejectionError("change nf_tables", answer));
  const plans = rejectedPlans(rejection);
  const error = rejectionError(describeRejection(table, rejection, plans, describeElement), answer);
  // A denial concerns the whole table or process, not the service that happens to be named first.
  if (answer.errno === errnoOf("EPERM")) return backendError(mode, error);
  if (answer.errno !== errnoOf("ENOENT")) {
    return backendError(mode, error, [...new Set(plans.map(({ key }) => key))]);
  }
  // No service port is at fault: the kernel lacks an object that we programmed.
  onDrift(error.message);
  return backendError(mode, error);
}

/**
 * Finds the rejected change by its message number and the offset in the message. Undefined for an unknown
 * number.
 */
export function decodeRejection(batch: Uint8Array, answer: Acknowledgement): Rejection | undefined {
  for (const message of messages(batch)) {
    if (message.seq === answer.seq) return decodeMessage(message, answer.offset);
  }
  return undefined;
}

function decodeMessage(message: NetlinkMessage, offset: number | undefined): Rejection {
  const { payload } = message;
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES) {
    return { family: undefined, action: "add", object: { kind: "batch" } };
  }
  const name = (type: number) => attribute(payload, type, NFGENMSG_BYTES)?.string() ?? "";
  const rejection = (action: "add" | "remove", object: Rejection["object"]): Rejection => ({
    family: tableFamilyOfProtocol(payload[0] ?? NFPROTO_UNSPEC),
    action,
    object,
  });
  const type = message.type & 0xff;
  switch (type) {
    case nft.NFT_MSG_NEWTABLE:
    case nft.NFT_MSG_DELTABLE:
      return rejection(type === nft.NFT_MSG_NEWTABLE ? "add" : "remove", { kind: "table" });
    case nft.NFT_MSG_NEWCHAIN:
    case nft.NFT_MSG_DELCHAIN:
      return rejection(type === nft.NFT_MSG_NEWCHAIN ? "add" : "remove", {
        kind: "chain",
        name: name(nft.NFTA_CHAIN_NAME),
      });
    case nft.NFT_MSG_NEWRULE:
    case nft.NFT_MSG_DELRULE:
      return rejection(type === nft.NFT_MSG_NEWRULE ? "add" : "remove", {
        kind: "rules",
        name: name(nft.NFTA_RULE_CHAIN),
      });
    case nft.NFT_MSG_NEWSET:
    case nft.NFT_MSG_DELSET:
      return rejection(type === nft.NFT_MSG_NEWSET ? "add" : "remove", {
        kind: "set",
        name: name(nft.NFTA_SET_NAME),
      });
    default:
      return rejection(type === nft.NFT_MSG_NEWSETELEM ? "add" : "remove", {
        kind: "element",
        set: name(nft.NFTA_SET_ELEM_LIST_SET),
        key: keyAt(payload, offset),
      });
  }
}

/** The key of the element at `offset` from the start of the message, or of the only element. */
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

/**
 * Renders what was attempted: `add service default/web:http (10.96.0.10:80/TCP) to service-ips of table ip
 * kube-proxy`
 */
export function describeRejection(
  tableName: string,
  { family, action, object }: Rejection,
  plans: readonly ServicePortPlan[],
  describeElement: DescribeElement,
): string {
  if (family === undefined || object.kind === "batch") return "change nf_tables";
  const table = `table ${family.keyword} ${tableName}`;
  if (object.kind === "table") return `${action} ${table}`;
  const services = plans.length === 0 ? undefined : plans.slice(0, 3).map(printedName).join(", ");
  const ofServices = services === undefined ? "" : ` of service ${services}`;
  switch (object.kind) {
    case "chain":
    case "set":
      return `${action} ${object.kind} ${object.name} of ${table}${ofServices}`;
    case "rules":
      return object.name === ""
        ? `${action} the rules of ${table}`
        : `${action} a rule of chain ${object.name} of ${table}${ofServices}`;
    case "element": {
      const set = `${action === "add" ? "to" : "from"} ${object.set} of ${table}`;
      const element = object.key === undefined ? undefined : describeElement(family, object.set, object.key);
      if (services === undefined) return `${action} ${element ?? "elements"} ${set}`;
      return `${action} service ${services}${element === undefined ? "" : ` (${element})`} ${set}`;
    }
  }
}
