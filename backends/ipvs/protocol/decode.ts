import { type Address, addressFromBytes } from "../../../core/net/address.ts";
import { AF_INET } from "../../../ffi/inet.ts";
import { AttributeTable } from "../../../ffi/netlink/attribute_table.ts";
import { GENL_HDRLEN } from "../../../ffi/netlink/genetlink.ts";
import { protocolOfNumber } from "../../protocol_numbers.ts";
import type { KernelRealServer, KernelVirtualServer, Statistics } from "../servers/virtual_server.ts";
import * as ipvs from "./constants.ts";
import type { IpvsTimeouts } from "./encode.ts";

// Reused by every call, because decoding is synchronous.
const message = new AttributeTable(ipvs.IPVS_CMD_ATTR_TIMEOUT_UDP);
const nest = new AttributeTable(ipvs.IPVS_SVC_ATTR_STATS64);
const statistics = new AttributeTable(ipvs.IPVS_STATS_ATTR_OUTBYTES);
const decoder = new TextDecoder();

/**
 * Decodes a virtual server in the answer to a dump.
 * @returns undefined for kinds that are never ours: a firewall mark, or another protocol.
 */
export function decodeVirtualServer(payload: Uint8Array): KernelVirtualServer | undefined {
  message.fill(payload, GENL_HDRLEN);
  nest.fillFrom(message, ipvs.IPVS_CMD_ATTR_SERVICE);
  const protocol = protocolOfNumber(nest.u16le(ipvs.IPVS_SVC_ATTR_PROTOCOL));
  if (protocol === undefined || nest.has(ipvs.IPVS_SVC_ATTR_FWMARK)) return undefined;
  const isIPv4 = nest.u16le(ipvs.IPVS_SVC_ATTR_AF) === AF_INET;
  const flags = nest.u32le(ipvs.IPVS_SVC_ATTR_FLAGS);
  const isPersistent = (flags & ipvs.IP_VS_SVC_F_PERSISTENT) !== 0;
  return {
    family: isIPv4 ? "IPv4" : "IPv6",
    protocol,
    address: addressIn(ipvs.IPVS_SVC_ATTR_ADDR, isIPv4),
    port: nest.u16be(ipvs.IPVS_SVC_ATTR_PORT),
    scheduler: textIn(ipvs.IPVS_SVC_ATTR_SCHED_NAME),
    persistenceSeconds: isPersistent ? nest.u32le(ipvs.IPVS_SVC_ATTR_TIMEOUT) : 0,
    flags: flags & ~(ipvs.IP_VS_SVC_F_PERSISTENT | ipvs.IP_VS_SVC_F_HASHED),
    persistencePrefix: isIPv4
      ? Math.clz32(~nest.u32be(ipvs.IPVS_SVC_ATTR_NETMASK))
      : nest.u32le(ipvs.IPVS_SVC_ATTR_NETMASK),
  };
}

/** Decodes the statistics of a virtual server in the answer to a dump. The kernel adds them up every two seconds. */
export function decodeStatistics(payload: Uint8Array): Statistics {
  message.fill(payload, GENL_HDRLEN);
  nest.fillFrom(message, ipvs.IPVS_CMD_ATTR_SERVICE);
  statistics.fillFrom(nest, ipvs.IPVS_SVC_ATTR_STATS64);
  return {
    connections: statistics.u64le(ipvs.IPVS_STATS_ATTR_CONNS),
    toEndpoints: {
      packets: statistics.u64le(ipvs.IPVS_STATS_ATTR_INPKTS),
      bytes: statistics.u64le(ipvs.IPVS_STATS_ATTR_INBYTES),
    },
    fromEndpoints: {
      packets: statistics.u64le(ipvs.IPVS_STATS_ATTR_OUTPKTS),
      bytes: statistics.u64le(ipvs.IPVS_STATS_ATTR_OUTBYTES),
    },
  };
}

/** Decodes a real server in the answer to a dump. */
export function decodeRealServer(payload: Uint8Array): KernelRealServer {
  message.fill(payload, GENL_HDRLEN);
  nest.fillFrom(message, ipvs.IPVS_CMD_ATTR_DEST);
  const forwarding = nest.u32le(ipvs.IPVS_DEST_ATTR_FWD_METHOD) & ipvs.IP_VS_CONN_F_FWD_MASK;
  return {
    address: addressIn(
      ipvs.IPVS_DEST_ATTR_ADDR,
      nest.u16le(ipvs.IPVS_DEST_ATTR_ADDR_FAMILY) === AF_INET,
    ),
    port: nest.u16be(ipvs.IPVS_DEST_ATTR_PORT),
    weight: nest.u32le(ipvs.IPVS_DEST_ATTR_WEIGHT),
    isMasqueraded: forwarding === ipvs.IP_VS_CONN_F_MASQ,
    active: nest.u32le(ipvs.IPVS_DEST_ATTR_ACTIVE_CONNS),
    inactive: nest.u32le(ipvs.IPVS_DEST_ATTR_INACT_CONNS),
    persistent: nest.u32le(ipvs.IPVS_DEST_ATTR_PERSIST_CONNS),
  };
}

export function decodeTimeouts(payload: Uint8Array): IpvsTimeouts {
  message.fill(payload, GENL_HDRLEN);
  return {
    tcpSeconds: message.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP),
    tcpFinSeconds: message.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN),
    udpSeconds: message.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_UDP),
  };
}

function addressIn(type: number, isIPv4: boolean): Address {
  return addressFromBytes(nest.bytes(type, isIPv4 ? 4 : ipvs.NF_INET_ADDR_BYTES));
}

let lastName = new Uint8Array();
let lastText = "";

/** Remembers the last text, because nearly all virtual servers have the same scheduler. */
function textIn(type: number): string {
  const name = nest.bytes(type);
  if (name.length !== lastName.length || name.some((byte, index) => byte !== lastName[index])) {
    lastName = name.slice();
    const end = name.indexOf(0);
    lastText = decoder.decode(end < 0 ? name : name.subarray(0, end));
  }
  return lastText;
}
