import type { Family } from "../../../../core/net/protocol.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { icmpSocket, sendTo } from "../../../../ffi/socket/icmp.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import { portUnreachable, type RejectedDatagram } from "./port_unreachable.ts";

/** Messages per second to all clients, as the kernel allows itself (net.ipv4.icmp_msgs_per_sec). */
const PER_SECOND = 1000;

interface Sender {
  /** Negative without CAP_NET_RAW. */
  readonly fd: number;
  readonly address: SocketAddress;
}

/** Tells clients by ICMP that their datagrams were rejected. The kernel translates the messages like any answer. */
export class Rejections implements Disposable {
  readonly #senders = new Map<Family, Sender>();
  #second = 0;
  #sent = 0;

  /** @param now milliseconds of any clock that never goes back */
  send(family: Family, datagram: RejectedDatagram, now: number): void {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) [this.#second, this.#sent] = [second, 0];
    if (this.#sent >= PER_SECOND) return;
    const { fd, address } = this.#sender(family);
    if (fd < 0) return;
    this.#sent++;
    address.set(datagram.source, 0);
    sendTo(fd, portUnreachable(family, datagram), address);
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#senders.values()) if (fd >= 0) closeSocket(fd);
  }

  #sender(family: Family): Sender {
    let sender = this.#senders.get(family);
    if (sender === undefined) {
      sender = { fd: icmpSocket(FAMILY_NUMBERS[family]), address: new SocketAddress(FAMILY_NUMBERS[family]) };
      this.#senders.set(family, sender);
    }
    return sender;
  }
}
