import type { Protocol } from "../../../core/net/protocol.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { AF_INET } from "../../../ffi/inet.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_SOCK_DIAG, NLM_F_ACK, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { inNetworkNamespace } from "../../../ffi/system/network_namespaces.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";

/** Protocols whose connected sockets are ended when their endpoint is gone. */
export type TerminableProtocol = Exclude<Protocol, "SCTP">;

/**
 * Ends sockets of a network namespace.
 * @param found output of bpf/find.bpf.c: an array of `struct found`.
 * @returns the number of sockets that still existed.
 * @throws KernelError
 */
export async function destroySockets(
  namespace: string,
  protocol: TerminableProtocol,
  found: Uint8Array<ArrayBuffer>,
): Promise<number> {
  // The netlink socket stays in the namespace in which it was opened.
  const visit = inNetworkNamespace(namespace, () => NetlinkClient.open(NETLINK_SOCK_DIAG));
  if ("refused" in visit) return 0;
  using diag = visit.result;
  const view = new DataView(found.buffer, found.byteOffset, found.byteLength);
  let ended = 0;
  for (let offset = 0; offset + FOUND_BYTES <= found.length; offset += FOUND_BYTES) {
    const id = found.subarray(offset + 4, offset + FOUND_BYTES);
    if (await destroy(diag, { family: view.getUint32(offset, true), protocol, id })) ended++;
  }
  return ended;
}

/** Reports whether the kernel ends sockets on request, by requesting it for one that does not exist. */
export async function canDestroySockets(): Promise<boolean> {
  try {
    using diag = NetlinkClient.open(NETLINK_SOCK_DIAG);
    await destroy(diag, { family: AF_INET, protocol: "UDP", id: new Uint8Array(ID_BYTES) });
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

const SOCK_DESTROY = 21; // linux/sock_diag.h

// struct inet_diag_sockid { __be16 sport, dport; __be32 src[4], dst[4]; __u32 if, cookie[2]; },
// linux/inet_diag.h
const ID_BYTES = 48;
/** `struct found` of bpf/find.bpf.c: the family and the id. */
const FOUND_BYTES = 4 + ID_BYTES;

interface SocketId {
  /** AF_… */
  readonly family: number;
  readonly protocol: TerminableProtocol;
  /** struct inet_diag_sockid */
  readonly id: Uint8Array;
}

/** Ends a socket. Returns false if it does not exist. */
async function destroy(diag: NetlinkClient, { family, protocol, id }: SocketId): Promise<boolean> {
  try {
    await diag.request(`end a ${protocol} socket`, (message, seq) => {
      // struct inet_diag_req_v2 { __u8 family, protocol, ext, pad; __u32 states; struct inet_diag_sockid id;
      // }
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
