import type { Family } from "../../../../core/net/protocol.ts";
import { AF_INET } from "../../../../ffi/inet.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import type { DatagramBatch } from "../../../../ffi/socket/datagrams.ts";
import { localPort } from "../../../../ffi/socket/tcp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EventTarget } from "../event_loop.ts";
import type { Destination } from "../listeners/listener_set.ts";
import type { Side } from "../messages.ts";
import type { FrontendEntry } from "../services/service_table.ts";
import type { ConntrackLookup, SeenFlow } from "./conntrack_lookup.ts";
import type { UdpFlow } from "./flow.ts";

/** Batches that are received in a row, before others get their turn. */
const MAX_BATCHES = 4;

/** The owner of receivers, `UdpRelay`, as a receiver sees it. */
export interface DatagramHandler {
  readonly batch: DatagramBatch;
  /** @returns undefined if conntrack cannot be asked now. */
  lookup(family: Family): ConntrackLookup | undefined;
  /** Handles one datagram of the batch. */
  received(receiver: UdpReceiver, slot: number): void;
}

/** A socket that clients send datagrams to. */
export class UdpReceiver implements EventTarget {
  readonly fd: number;
  readonly port: number;
  readonly family: Family;
  readonly addressFamily: number;
  readonly flows = new Map<string, UdpFlow>();
  readonly #handler: DatagramHandler;
  readonly #destination: Destination;

  constructor(handler: DatagramHandler, fd: number, family: Family, destination: Destination) {
    this.#handler = handler;
    this.fd = fd;
    this.port = localPort(fd, new SocketAddress(FAMILY_NUMBERS[family]));
    this.family = family;
    this.addressFamily = FAMILY_NUMBERS[family];
    this.#destination = destination;
  }

  get side(): Side {
    return "side" in this.#destination ? this.#destination.side : "outside";
  }

  get isShared(): boolean {
    return "side" in this.#destination;
  }

  handleEvents(): void {
    const { batch } = this.#handler;
    for (let turn = 0; turn < MAX_BATCHES; turn++) {
      const count = batch.receive(this.fd);
      for (let slot = 0; slot < count; slot++) this.#handler.received(this, slot);
      if (count < batch.slots) return;
    }
  }

  /** Returns the frontend of a new flow; undefined if conntrack does not know it, or if it is gone. */
  entryOf(flow: SeenFlow): FrontendEntry | undefined {
    if ("entry" in this.#destination) return this.#destination.entry;
    const original = this.#handler.lookup(this.family)?.find(flow);
    if (original === undefined) return undefined;
    return this.#destination.table.find(this.family, "UDP", original.address, original.port);
  }

  /** Address and port of a client, from its socket address. */
  clientOf(socketAddress: Uint8Array): Pick<SeenFlow, "client" | "clientPort"> {
    const address = this.addressFamily === AF_INET
      ? socketAddress.subarray(4, 8)
      : socketAddress.subarray(8, 24);
    return {
      client: String.fromCharCode(...address),
      clientPort: (socketAddress[2] ?? 0) << 8 | (socketAddress[3] ?? 0),
    };
  }

  /** Names the flow of a client to an address of this node. */
  keyOf(socketAddress: Uint8Array, local: string): string {
    const end = this.addressFamily === AF_INET ? 8 : 24;
    return String.fromCharCode(...socketAddress.subarray(2, end)) + local;
  }
}
