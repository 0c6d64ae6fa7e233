import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from "../constants.ts";
import { attributes } from "../reader.ts";
import type { MessageWriter } from "../writer.ts";
import * as rt from "./constants.ts";

/** A network device. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_… */
  readonly type: number;
  /** IFF_… */
  readonly flags: number;
  /** Index of the device that this one is a port of, as of a bridge. */
  readonly master: number | undefined;
  /** Index of the device below, as of a VLAN; of a veth device that of its peer. */
  readonly lower: number | undefined;
  /** The device below, or the peer, is in another network namespace. */
  readonly isLowerElsewhere: boolean;
  /** "dummy", "veth", …; "" for a physical device. */
  readonly kind: string;
}

/** `ip link show` */
export function writeDumpLinks(message: MessageWriter, seq: number): void {
  message.begin(rt.RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ifinfomsg(message);
  message.attrU32le(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS);
  message.end();
}

/** `ip link show NAME` */
export function writeGetLink(message: MessageWriter, seq: number, name: string): void {
  message.begin(rt.RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  ifinfomsg(message);
  message.attrU32le(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS);
  message.attrString(rt.IFLA_IFNAME, name);
  message.end();
}

/** `ip link add NAME type KIND` */
export function writeNewLink(message: MessageWriter, seq: number, name: string, kind: string): void {
  message.begin(rt.RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  ifinfomsg(message);
  message.attrString(rt.IFLA_IFNAME, name);
  message.nest(rt.IFLA_LINKINFO, () => message.attrLatin1(rt.IFLA_INFO_KIND, kind));
  message.end();
}

/** `ip link delete NAME` */
export function writeDeleteLink(message: MessageWriter, seq: number, name: string): void {
  message.begin(rt.RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  ifinfomsg(message);
  message.attrString(rt.IFLA_IFNAME, name);
  message.end();
}

/** Decodes the payload of RTM_NEWLINK and RTM_DELLINK. */
export function decodeLink(payload: Uint8Array): Link {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let [name, kind, isLowerElsewhere] = ["", "", false];
  let [master, lower]: [number | undefined, number | undefined] = [undefined, undefined];
  for (const attribute of attributes(payload, rt.IFINFOMSG_BYTES)) {
    if (attribute.type === rt.IFLA_IFNAME) name = attribute.string();
    else if (attribute.type === rt.IFLA_MASTER) master = attribute.u32le();
    else if (attribute.type === rt.IFLA_LINK) lower = attribute.u32le();
    else if (attribute.type === rt.IFLA_LINK_NETNSID) isLowerElsewhere = true;
    else if (attribute.type === rt.IFLA_LINKINFO) {
      kind = attribute.attribute(rt.IFLA_INFO_KIND)?.string() ?? "";
    }
  }
  return {
    index: view.getInt32(rt.IFINFOMSG_INDEX, true),
    name,
    type: view.getUint16(rt.IFINFOMSG_TYPE, true),
    flags: view.getUint32(rt.IFINFOMSG_FLAGS, true),
    master,
    lower,
    isLowerElsewhere,
    kind,
  };
}

/** Writes a struct ifinfomsg for any device. */
function ifinfomsg(message: MessageWriter): void {
  for (let at = 0; at < rt.IFINFOMSG_BYTES; at += 4) message.rawU32le(0);
}
