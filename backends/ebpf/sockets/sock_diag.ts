import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_SOCK_DIAG, NLM_F_ACK, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { inNetworkNamespace } from "../../../ffi/network_namespaces.ts";
import { AF_INET } from "../../../ffi/inet.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import type { Protocol } from "../../../core/net/protocol.ts";

const SOCK_DESTROY = 21; // linux/sock_diag.h

/** Protocols whose sockets are connected to endpoints, and ended. */
export type EndedProtocol = Exclude<Protocol, "SCTP">;

// struct inet_diag_sockid { __be16 sport, dport; __be32 src[4], dst[4]; __u32 if, cookie[2]; }, linux/inet_diag.h
const ID_BYTES = 48;
/** `struct found` of bpf/find.bpf.c: the family, and then the id. */
const FOUND_BYTES = 4 + ID_BYTES;

/** As sock_diag names a socket. */
interface Name {
  readonly family: number;
  readonly protocol: EndedProtocol;
  /** struct inet_diag_sockid */
  readonly id: Uint8Array;
}

/**
 * Ends sockets of a network namespace, by sock_diag.
 * @param found what bpf/find.bpf.c wrote there.
 * @returns how many were there still.
 * @throws KernelError
 */
export async function endFound(
  namespace: string,
  protocol: EndedProtocol,
  found: Uint8Array<ArrayBuffer>,
): Promise<number> {
  // The socket stays in the namespace it was opened in.
  using diag = inNetworkNamespace(namespace, () => NetlinkClient.open(NETLINK_SOCK_DIAG));
  if (diag === undefined) return 0;
  const view = new DataView(found.buffer, found.byteOffset, found.byteLength);
  let ended = 0;
  for (let offset = 0; offset + FOUND_BYTES <= found.length; offset += FOUND_BYTES) {
    const id = found.subarray(offset + 4, offset + FOUND_BYTES);
    if (await end(diag, { family: view.getUint32(offset, true), protocol, id })) ended++;
  }
  return ended;
}

/** Whether the kernel ends sockets on request: it is asked to end one that is not there. */
export async function canEndSockets(): Promise<boolean> {
  try {
    using diag = NetlinkClient.open(NETLINK_SOCK_DIAG);
    await end(diag, { family: AF_INET, protocol: "UDP", id: new Uint8Array(ID_BYTES) });
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

/** False when it was closed meanwhile. */
async function end(diag: NetlinkClient, { family, protocol, id }: Name): Promise<boolean> {
  try {
    await diag.request(`end a ${protocol} socket`, (message, seq) => {
      // struct inet_diag_req_v2 { __u8 family, protocol, ext, pad; __u32 states; struct inet_diag_sockid id; }
      message.begin(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, seq);
      message.rawU8(family);
      message.rawU8(PROTOCOL_NUMBERS[protocol]);
      message.rawU16le(0);
      message.rawU32le(0);
      message.rawBytes(id);
      message.end();
    });
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === errnoOf("ENOENT")) return false;
    throw error;
  }
}
