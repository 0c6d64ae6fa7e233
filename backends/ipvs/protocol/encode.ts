import { formatSocketAddress } from "../../../core/net/address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { genlmsghdr } from "../../../ffi/netlink/genetlink.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FAMILY_NUMBERS, PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import {
  formatVirtualServer,
  type RealServer,
  type VirtualServer,
  type VirtualServerId,
} from "../servers/virtual_server.ts";
import * as ipvs from "./constants.ts";

/** One change of IPVS. The kernel accepts or rejects each command on its own. */
export type IpvsCommand =
  | { readonly verb: "add" | "change"; readonly server: VirtualServer }
  | { readonly verb: "remove"; readonly server: VirtualServerId }
  | {
    readonly verb: "add real" | "change real" | "remove real";
    readonly server: VirtualServerId;
    readonly realServer: RealServer;
  };

/** How long IPVS remembers idle connections. */
export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

const COMMAND_NUMBERS = {
  "add": ipvs.IPVS_CMD_NEW_SERVICE,
  "change": ipvs.IPVS_CMD_SET_SERVICE,
  "remove": ipvs.IPVS_CMD_DEL_SERVICE,
  "add real": ipvs.IPVS_CMD_NEW_DEST,
  "change real": ipvs.IPVS_CMD_SET_DEST,
  "remove real": ipvs.IPVS_CMD_DEL_DEST,
} as const satisfies Readonly<Record<IpvsCommand["verb"], number>>;

/** @param type generic netlink id of IPVS: see resolveFamily. */
export function writeCommand(writer: MessageWriter, type: number, seq: number, command: IpvsCommand): void {
  const { server } = command;
  begin(writer, type, seq, NLM_F_REQUEST, COMMAND_NUMBERS[command.verb]);
  const service = writer.nestStart(ipvs.IPVS_CMD_ATTR_SERVICE);
  writeId(writer, server);
  if (command.verb === "add" || command.verb === "change") writeSettings(writer, command.server);
  writer.nestEnd(service);
  if ("realServer" in command) {
    const destination = writer.nestStart(ipvs.IPVS_CMD_ATTR_DEST);
    writeRealServer(writer, command.realServer);
    writer.nestEnd(destination);
  }
  writer.end();
}

/** Renders a command for an error: `add real server 10.1.0.1:8080 to virtual server 10.96.0.10:80/TCP`. */
export function describeCommand(command: IpvsCommand): string {
  const server = `virtual server ${formatVirtualServer(command.server)}`;
  if (!("realServer" in command)) return `${command.verb} ${server}`;
  const { address, port } = command.realServer;
  const [verb] = command.verb.split(" ");
  const relation = { "add real": "to", "change real": "of", "remove real": "from" }[command.verb];
  return `${verb} real server ${formatSocketAddress(address, port)} ${relation} ${server}`;
}

/** `ipvsadm -C` */
export function writeFlush(writer: MessageWriter, type: number, seq: number): void {
  begin(writer, type, seq, NLM_F_REQUEST | NLM_F_ACK, ipvs.IPVS_CMD_FLUSH);
  writer.end();
}

/** `ipvsadm --set`. A timeout of 0 keeps the kernel's value. */
export function writeTimeouts(
  writer: MessageWriter,
  type: number,
  seq: number,
  { tcpSeconds, tcpFinSeconds, udpSeconds }: IpvsTimeouts,
): void {
  begin(writer, type, seq, NLM_F_REQUEST | NLM_F_ACK, ipvs.IPVS_CMD_SET_CONFIG);
  if (tcpSeconds > 0) writer.attrU32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP, tcpSeconds);
  if (tcpFinSeconds > 0) writer.attrU32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, tcpFinSeconds);
  if (udpSeconds > 0) writer.attrU32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_UDP, udpSeconds);
  writer.end();
}

/** `ipvsadm -L --timeout` */
export function writeGetTimeouts(writer: MessageWriter, type: number, seq: number): void {
  begin(writer, type, seq, NLM_F_REQUEST | NLM_F_ACK, ipvs.IPVS_CMD_GET_CONFIG);
  writer.end();
}

/** Requests all virtual servers. */
export function writeDumpServers(writer: MessageWriter, type: number, seq: number): void {
  begin(writer, type, seq, NLM_F_REQUEST | NLM_F_DUMP, ipvs.IPVS_CMD_GET_SERVICE);
  writer.end();
}

/** Requests the real servers of one virtual server. The protocol cannot request those of several. */
export function writeDumpRealServers(
  writer: MessageWriter,
  type: number,
  seq: number,
  server: VirtualServerId,
): void {
  begin(writer, type, seq, NLM_F_REQUEST | NLM_F_DUMP, ipvs.IPVS_CMD_GET_DEST);
  writer.nest(ipvs.IPVS_CMD_ATTR_SERVICE, () => writeId(writer, server));
  writer.end();
}

function begin(writer: MessageWriter, type: number, seq: number, flags: number, command: number): void {
  writer.begin(type, flags, seq);
  genlmsghdr(writer, command, ipvs.IPVS_GENL_VERSION);
}

function writeId(writer: MessageWriter, { family, protocol, address, port }: VirtualServerId): void {
  writer.attrU16le(ipvs.IPVS_SVC_ATTR_AF, FAMILY_NUMBERS[family]);
  writer.attrU16le(ipvs.IPVS_SVC_ATTR_PROTOCOL, PROTOCOL_NUMBERS[protocol]);
  writer.attrLatin1(ipvs.IPVS_SVC_ATTR_ADDR, inetAddress(address));
  writer.attrU16be(ipvs.IPVS_SVC_ATTR_PORT, port);
}

function writeSettings(writer: MessageWriter, server: VirtualServer): void {
  const { family, scheduler, persistenceSeconds, flags } = server;
  writer.attrString(ipvs.IPVS_SVC_ATTR_SCHED_NAME, scheduler);
  const persistent = persistenceSeconds > 0 ? ipvs.IP_VS_SVC_F_PERSISTENT : 0;
  const flagsAndMask = Uint32Array.of(flags | persistent, EVERY_FLAG);
  writer.attrBytes(ipvs.IPVS_SVC_ATTR_FLAGS, new Uint8Array(flagsAndMask.buffer));
  writer.attrU32le(ipvs.IPVS_SVC_ATTR_TIMEOUT, persistenceSeconds);
  // Persistence is per client address.
  if (family === "IPv4") writer.attrU32be(ipvs.IPVS_SVC_ATTR_NETMASK, 0xffffffff);
  else writer.attrU32le(ipvs.IPVS_SVC_ATTR_NETMASK, 128);
}

/** Mask of struct ip_vs_flags. */
const EVERY_FLAG = 0xffffffff;

/** The kernel requires all attributes, except for a removal, where it ignores all but address and port. */
function writeRealServer(writer: MessageWriter, { address, port, weight }: RealServer): void {
  writer.attrU16le(ipvs.IPVS_DEST_ATTR_ADDR_FAMILY, address.length === 4 ? AF_INET : AF_INET6);
  writer.attrLatin1(ipvs.IPVS_DEST_ATTR_ADDR, inetAddress(address));
  writer.attrU16be(ipvs.IPVS_DEST_ATTR_PORT, port);
  writer.attrU32le(ipvs.IPVS_DEST_ATTR_FWD_METHOD, ipvs.IP_VS_CONN_F_MASQ);
  writer.attrU32le(ipvs.IPVS_DEST_ATTR_WEIGHT, weight);
  writer.attrU32le(ipvs.IPVS_DEST_ATTR_U_THRESH, 0);
  writer.attrU32le(ipvs.IPVS_DEST_ATTR_L_THRESH, 0);
}

const IPV4_PADDING = "\0".repeat(ipvs.NF_INET_ADDR_BYTES - 4);

function inetAddress(address: string): string {
  return address.length === 4 ? address + IPV4_PADDING : address;
}
