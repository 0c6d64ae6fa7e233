import type { Address } from "../../core/net/address.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP } from "../../ffi/inet.ts";
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { nfgenmsg } from "../../ffi/netlink/nfnetlink.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import * as ct from "./ctnetlink.ts";

/** One end of a flow. */
export interface Socket {
  readonly address: Address;
  readonly port: number;
}

/** A flow, and the addresses and ports that it is translated to. Both ends of it have addresses of one family. */
export interface TranslatedFlow {
  /** IPPROTO_TCP or IPPROTO_UDP. */
  readonly protocol: number;
  readonly source: Socket;
  readonly destination: Socket;
  readonly translatedSource: Socket;
  readonly translatedDestination: Socket;
  readonly hasReplied: boolean;
  /** Both ends have taken part: TCP is established, or a UDP flow has more than an answer. */
  readonly isAssured: boolean;
  /** TCP: an end has sent a FIN. */
  readonly isClosing: boolean;
  /** Idle timeout until the next packet. After that the kernel's timeouts apply. */
  readonly timeoutSeconds: number;
}

/**
 * `conntrack -I`: creates the entry of a flow that is translated by someone else. The kernel rejects it with EEXIST if
 * an entry has the tuple of one of its directions.
 */
export function writeCreate(writer: MessageWriter, seq: number, flow: TranslatedFlow): void {
  const { protocol, source, destination, translatedSource, translatedDestination } = flow;
  writer.begin(ct.CT_NEW, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, seq);
  nfgenmsg(writer, source.address.length === 4 ? AF_INET : AF_INET6, 0);
  writeTuple(writer, ct.CTA_TUPLE_ORIG, protocol, source, destination);
  // The kernel translates this tuple by the following attributes.
  writeTuple(writer, ct.CTA_TUPLE_REPLY, protocol, destination, source);
  writeTranslation(writer, ct.CTA_NAT_DST, translatedDestination);
  if (source.address !== translatedSource.address || source.port !== translatedSource.port) {
    writeTranslation(writer, ct.CTA_NAT_SRC, translatedSource);
  }
  writer.attrU32be(ct.CTA_TIMEOUT, flow.timeoutSeconds);
  const status = (flow.hasReplied ? ct.IPS_SEEN_REPLY : 0) | (flow.isAssured ? ct.IPS_ASSURED : 0);
  writer.attrU32be(ct.CTA_STATUS, ct.IPS_CONFIRMED | status);
  if (protocol === IPPROTO_TCP) writeTcpState(writer, flow);
  writer.end();
}

/** `conntrack -D` for the entry with the tuple of the flow's original direction. */
export function writeDeleteByOriginal(writer: MessageWriter, seq: number, flow: TranslatedFlow): void {
  writeDelete(writer, seq, ct.CTA_TUPLE_ORIG, flow.protocol, flow.source, flow.destination);
}

/** `conntrack -D` for the entry with the tuple of the flow's replies. */
export function writeDeleteByReply(writer: MessageWriter, seq: number, flow: TranslatedFlow): void {
  const { protocol, translatedSource, translatedDestination } = flow;
  writeDelete(writer, seq, ct.CTA_TUPLE_REPLY, protocol, translatedDestination, translatedSource);
}

function writeDelete(
  writer: MessageWriter,
  seq: number,
  tuple: number,
  protocol: number,
  source: Socket,
  destination: Socket,
): void {
  writer.begin(ct.CT_DELETE, NLM_F_REQUEST, seq);
  nfgenmsg(writer, source.address.length === 4 ? AF_INET : AF_INET6, 0);
  writeTuple(writer, tuple, protocol, source, destination);
  writer.end();
}

function writeTuple(
  writer: MessageWriter,
  type: number,
  protocol: number,
  source: Socket,
  destination: Socket,
): void {
  const isIPv4 = source.address.length === 4;
  writer.nest(type, () => {
    writer.nest(ct.CTA_TUPLE_IP, () => {
      writer.attrLatin1(isIPv4 ? ct.CTA_IP_V4_SRC : ct.CTA_IP_V6_SRC, source.address);
      writer.attrLatin1(isIPv4 ? ct.CTA_IP_V4_DST : ct.CTA_IP_V6_DST, destination.address);
    });
    writer.nest(ct.CTA_TUPLE_PROTO, () => {
      writer.attrU8(ct.CTA_PROTO_NUM, protocol);
      writer.attrU16be(ct.CTA_PROTO_SRC_PORT, source.port);
      writer.attrU16be(ct.CTA_PROTO_DST_PORT, destination.port);
    });
  });
}

function writeTranslation(writer: MessageWriter, type: number, { address, port }: Socket): void {
  writer.nest(type, () => {
    writer.attrLatin1(address.length === 4 ? ct.CTA_NAT_V4_MINIP : ct.CTA_NAT_V6_MINIP, address);
    writer.nest(ct.CTA_NAT_PROTO, () => writer.attrU16be(ct.CTA_PROTONAT_PORT_MIN, port));
  });
}

function writeTcpState(writer: MessageWriter, { hasReplied, isAssured, isClosing }: TranslatedFlow): void {
  const state = !hasReplied
    ? ct.TCP_CONNTRACK_SYN_SENT
    : !isAssured
    ? ct.TCP_CONNTRACK_SYN_RECV
    : isClosing
    ? ct.TCP_CONNTRACK_FIN_WAIT
    : ct.TCP_CONNTRACK_ESTABLISHED;
  // The windows of the connection are not known, so sequence numbers are not checked.
  const flags = Uint8Array.of(ct.IP_CT_TCP_FLAG_BE_LIBERAL, ct.IP_CT_TCP_FLAG_BE_LIBERAL);
  writer.nest(ct.CTA_PROTOINFO, () => {
    writer.nest(ct.CTA_PROTOINFO_TCP, () => {
      writer.attrU8(ct.CTA_PROTOINFO_TCP_STATE, state);
      writer.attrBytes(ct.CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, flags);
      writer.attrBytes(ct.CTA_PROTOINFO_TCP_FLAGS_REPLY, flags);
    });
  });
}
