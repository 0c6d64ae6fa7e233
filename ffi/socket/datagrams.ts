import { AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6 } from "../inet.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../libraries/libc.ts";
import { addressOf } from "../memory.ts";
import { MAX_SOCKADDR_BYTES } from "./address.ts";
import { calls } from "./calls.ts";
import { IP_PKTINFO, IPV6_PKTINFO } from "./constants.ts";
import { CMSGHDR, controlSpace, IOVEC, MSGHDR, setControlHeader } from "./message_header.ts";

/** The longest datagram, and more than one byte for each length of 16 bits. */
const MAX_DATAGRAM_BYTES = 64 * 1024;

/** struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; } sys/socket.h */
const MMSGHDR = { size: 64, msg_len: MSGHDR.size } as const;
/** Room for the larger of the control messages below. */
const CONTROL_BYTES = controlSpace(20);

/** Layout of the control message with the address on this node that a datagram came to, or is sent from. */
interface PacketInfo {
  readonly level: number;
  readonly type: number;
  /** sizeof(struct in_pktinfo { int ipi_ifindex; u8 ipi_spec_dst[4], ipi_addr[4]; }), or in6_pktinfo. */
  readonly bytes: number;
  /** Offsets of the address when received, and when sent. */
  readonly received: number;
  readonly sent: number;
  readonly addressBytes: number;
}

const PACKET_INFO: ReadonlyMap<number, PacketInfo> = new Map([
  [AF_INET, { level: IPPROTO_IP, type: IP_PKTINFO, bytes: 12, received: 8, sent: 4, addressBytes: 4 }],
  // struct in6_pktinfo { u8 ipi6_addr[16]; int ipi6_ifindex; }
  [AF_INET6, { level: IPPROTO_IPV6, type: IPV6_PKTINFO, bytes: 20, received: 0, sent: 0, addressBytes: 16 }],
]);

/** Memory for datagrams that one call receives, and for sending them on. Pages are used only as far as datagrams are long. */
export class DatagramBatch {
  /** Datagrams per call. */
  readonly slots: number;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #names: Uint8Array<ArrayBuffer>;
  readonly #controls: Uint8Array<ArrayBuffer>;
  readonly #controlView: DataView<ArrayBuffer>;
  readonly #vectors: DataView<ArrayBuffer>;
  readonly #headers: DataView<ArrayBuffer>;
  readonly #replies: DataView<ArrayBuffer>;
  readonly #replyName: Uint8Array<ArrayBuffer>;
  readonly #replyControl: Uint8Array<ArrayBuffer>;
  readonly #dataPointers: Deno.PointerValue[] = [];

  constructor(slots: number) {
    this.slots = slots;
    this.#data = memory(slots * MAX_DATAGRAM_BYTES);
    this.#names = memory(slots * MAX_SOCKADDR_BYTES);
    this.#controls = memory(slots * CONTROL_BYTES);
    this.#controlView = viewOf(this.#controls);
    this.#vectors = viewOf(memory(slots * IOVEC.size));
    this.#headers = viewOf(memory(slots * MMSGHDR.size));
    this.#replies = viewOf(memory(slots * MMSGHDR.size));
    this.#replyName = memory(MAX_SOCKADDR_BYTES);
    this.#replyControl = memory(CONTROL_BYTES);
    const [data, names, controls] = [this.#data, this.#names, this.#controls].map(addressOf);
    const vectors = addressOf(new Uint8Array(this.#vectors.buffer));
    const [replyName, replyControl] = [this.#replyName, this.#replyControl].map(addressOf);
    for (let slot = 0; slot < slots; slot++) {
      const buffer = (data ?? 0n) + BigInt(slot * MAX_DATAGRAM_BYTES);
      this.#dataPointers.push(Deno.UnsafePointer.create(buffer));
      this.#vectors.setBigUint64(slot * IOVEC.size, buffer, true);
      const vector = vectors + BigInt(slot * IOVEC.size);
      this.#point(this.#headers, slot, (names ?? 0n) + BigInt(slot * MAX_SOCKADDR_BYTES), vector);
      this.#headers.setBigUint64(
        slot * MMSGHDR.size + MSGHDR.msg_control,
        (controls ?? 0n) + BigInt(slot * CONTROL_BYTES),
        true,
      );
      this.#point(this.#replies, slot, replyName ?? 0n, vector);
      this.#replies.setBigUint64(slot * MMSGHDR.size + MSGHDR.msg_control, replyControl ?? 0n, true);
    }
  }

  /** Receives the datagrams that wait, without waiting for more. @returns their number; negative after an error. */
  receive(fd: number): number {
    for (let slot = 0; slot < this.slots; slot++) {
      const at = slot * MMSGHDR.size;
      this.#headers.setUint32(at + MSGHDR.msg_namelen, MAX_SOCKADDR_BYTES, true);
      this.#headers.setUint32(at + MSGHDR.msg_controllen, CONTROL_BYTES, true);
      this.#vectors.setUint32(slot * IOVEC.size + IOVEC.iov_len, MAX_DATAGRAM_BYTES, true);
    }
    return calls.recvmmsg(fd, this.#headers, this.slots, MSG_DONTWAIT, null);
  }

  /** Bytes of a received datagram. */
  lengthOf(slot: number): number {
    return this.#headers.getUint32(slot * MMSGHDR.size + MMSGHDR.msg_len, true);
  }

  copyOf(slot: number): Uint8Array<ArrayBuffer> {
    const start = slot * MAX_DATAGRAM_BYTES;
    return this.#data.slice(start, start + this.lengthOf(slot));
  }

  /** Socket address that a datagram came from, as the kernel wrote it. Valid until the next `receive`. */
  sourceOf(slot: number): Uint8Array<ArrayBuffer> {
    const start = slot * MAX_SOCKADDR_BYTES;
    return this.#names.subarray(start, start + MAX_SOCKADDR_BYTES);
  }

  /** Address on this node that a datagram came to, one character per byte; "" without the socket option. */
  destinationOf(slot: number, family: number): string {
    const info = PACKET_INFO.get(family);
    const start = slot * CONTROL_BYTES;
    if (info === undefined || this.#controlView.getInt32(start + CMSGHDR.cmsg_type, true) !== info.type) {
      return "";
    }
    const at = start + CMSGHDR.size + info.received;
    return String.fromCharCode(...this.#controls.subarray(at, at + info.addressBytes));
  }

  /** Sends a datagram on through a connected socket. @returns false after an error, which `errno` tells. */
  forward(slot: number, fd: number): boolean {
    return calls.send_from(fd, this.#dataPointers[slot] ?? null, BigInt(this.lengthOf(slot)), MSG_NOSIGNAL) >=
      0;
  }

  /**
   * Sends the first `count` datagrams on to one client.
   * @param client socket address as `sourceOf` returned it.
   * @param source address on this node that they come from, one character per byte.
   */
  reply(fd: number, count: number, family: number, client: Uint8Array, source: string): void {
    const info = PACKET_INFO.get(family);
    if (info === undefined) return;
    this.#replyName.set(client);
    const control = viewOf(this.#replyControl);
    this.#replyControl.fill(0);
    setControlHeader(control, info.level, info.type, info.bytes);
    for (let index = 0; index < source.length; index++) {
      this.#replyControl[CMSGHDR.size + info.sent + index] = source.charCodeAt(index);
    }
    const controlBytes = controlSpace(info.bytes);
    for (let slot = 0; slot < count; slot++) {
      const at = slot * MMSGHDR.size;
      this.#replies.setUint32(at + MSGHDR.msg_namelen, family === AF_INET ? 16 : MAX_SOCKADDR_BYTES, true);
      this.#replies.setUint32(at + MSGHDR.msg_controllen, controlBytes, true);
      this.#vectors.setUint32(slot * IOVEC.size + IOVEC.iov_len, this.lengthOf(slot), true);
    }
    calls.sendmmsg(fd, this.#replies, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  #point(headers: DataView<ArrayBuffer>, slot: number, name: bigint, vector: bigint): void {
    const at = slot * MMSGHDR.size;
    headers.setBigUint64(at + MSGHDR.msg_name, name, true);
    headers.setBigUint64(at + MSGHDR.msg_iov, vector, true);
    headers.setBigUint64(at + MSGHDR.msg_iovlen, 1n, true);
  }
}

/** Memory that stays where it is, because an ArrayBuffer of this kind is never moved. */
function memory(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(bytes));
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer);
}
