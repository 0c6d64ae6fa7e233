import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NETLINK_SOCK_DIAG, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { dumpEach, request } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { inNetworkNamespace, networkNamespaces } from "../../ffi/network_namespaces.ts";

const SOCK_DIAG_BY_FAMILY = 20; // linux/sock_diag.h
const SOCK_DESTROY = 21; // linux/sock_diag.h
const AF_INET = 2; // linux/socket.h
const AF_INET6 = 10; // linux/socket.h
const IPPROTO_UDP = 17; // linux/in.h
const TCP_ESTABLISHED = 1; // net/tcp_states.h; of UDP: connected

// struct inet_diag_msg { __u8 family, state, timer, retrans; struct inet_diag_sockid id; ... }, linux/inet_diag.h
const ID_OFFSET = 4;
const ID_BYTES = 48;
// struct inet_diag_sockid { __be16 sport, dport; __be32 src[4], dst[4]; __u32 if, cookie[2]; }
const DPORT_OFFSET = 2;
const DST_OFFSET = 20;
const COOKIE_OFFSET = 40;

/** A socket, and where it is connected to. */
export interface ConnectedSocket {
  readonly cookie: bigint;
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array<ArrayBuffer>;
  readonly port: number;
}

/** As sock_diag names it: struct inet_diag_sockid. */
interface Name {
  readonly family: number;
  readonly id: Uint8Array<ArrayBuffer>;
}

/**
 * Ends connected UDP sockets in every network namespace that can be found, by sock_diag.
 * @returns how many there were.
 * @throws KernelError
 */
export async function endSockets(isToEnd: (socket: ConnectedSocket) => boolean): Promise<number> {
  let ended = 0;
  for (const path of networkNamespaces()) {
    // The socket stays in the namespace it was opened in.
    using diag = inNetworkNamespace(path, () => NetlinkSocket.open(NETLINK_SOCK_DIAG));
    if (diag === undefined) continue;
    for (const family of [AF_INET, AF_INET6]) {
      for (const name of await findSockets(diag, family, isToEnd)) if (await end(diag, name)) ended++;
    }
  }
  return ended;
}

/** Whether the kernel ends sockets on request: it is asked to end one that is not there. */
export async function canEndSockets(): Promise<boolean> {
  try {
    using diag = NetlinkSocket.open(NETLINK_SOCK_DIAG);
    await end(diag, { family: AF_INET, id: new Uint8Array(ID_BYTES) });
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

async function findSockets(
  diag: NetlinkSocket,
  family: number,
  isToEnd: (socket: ConnectedSocket) => boolean,
): Promise<readonly Name[]> {
  const found: Name[] = [];
  const writer = new MessageWriter(256);
  writer.begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1);
  writeRequest(writer, family, new Uint8Array(ID_BYTES));
  writer.end();
  await dumpEach(diag, writer, "list UDP sockets", ({ payload }) => {
    const id = payload.slice(ID_OFFSET, ID_OFFSET + ID_BYTES);
    if (isToEnd(socketOf(family, id))) found.push({ family, id });
  });
  return found;
}

function socketOf(family: number, id: Uint8Array<ArrayBuffer>): ConnectedSocket {
  const view = new DataView(id.buffer);
  const address = id.slice(DST_OFFSET, DST_OFFSET + 16);
  if (family === AF_INET) {
    address.copyWithin(12, 0, 4);
    address.fill(0, 0, 10).fill(0xff, 10, 12);
  }
  return { cookie: view.getBigUint64(COOKIE_OFFSET, true), address, port: view.getUint16(DPORT_OFFSET) };
}

/** False when it was closed meanwhile. */
async function end(diag: NetlinkSocket, { family, id }: Name): Promise<boolean> {
  const writer = new MessageWriter(256);
  writer.begin(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, 2);
  writeRequest(writer, family, id);
  writer.end();
  try {
    await request(diag, writer, "end a UDP socket");
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === errnoOf("ENOENT")) return false;
    throw error;
  }
}

/** struct inet_diag_req_v2 { __u8 family, protocol, ext, pad; __u32 states; struct inet_diag_sockid id; } */
function writeRequest(writer: MessageWriter, family: number, id: Uint8Array): void {
  writer.rawU8(family);
  writer.rawU8(IPPROTO_UDP);
  writer.rawU16le(0);
  writer.rawU32le(1 << TCP_ESTABLISHED);
  writer.rawBytes(id);
}
