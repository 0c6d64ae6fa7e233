import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { reset } from "../../../../ffi/socket/options.ts";
import { acceptTcp, localAddress, NO_RESOURCES, originalDestination } from "../../../../ffi/socket/tcp.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EventTarget } from "../event_loop.ts";
import type { Destination } from "../listeners/listener_set.ts";
import { type FrontendEntry, listFor } from "../services/service_table.ts";
import { newAttempt } from "./connection.ts";
import { proxyHeader } from "./proxy_header.ts";
import type { TcpRelay } from "./tcp_relay.ts";

/** Connections that are accepted in a row, before those that exist get their turn. */
const MAX_ACCEPTS = 64;

export interface TcpListenerOptions {
  readonly family: Family;
  readonly relay: TcpRelay;
  readonly destination: Destination;
  /** Called when connections cannot be accepted for now. */
  readonly pause: () => void;
}

/** Accepts connections and finds their frontends. */
export class TcpListener implements EventTarget {
  readonly #addressFamily: number;
  readonly #family: Family;
  readonly #relay: TcpRelay;
  readonly #destination: Destination;
  readonly #pause: () => void;
  readonly #client: SocketAddress;
  readonly #original: SocketAddress;

  constructor({ family, relay, destination, pause }: TcpListenerOptions) {
    this.#family = family;
    this.#addressFamily = FAMILY_NUMBERS[family];
    this.#relay = relay;
    this.#destination = destination;
    this.#pause = pause;
    this.#client = new SocketAddress(this.#addressFamily);
    this.#original = new SocketAddress(this.#addressFamily);
  }

  handleEvents(listener: number): void {
    for (let count = 0; count < MAX_ACCEPTS; count++) {
      if (this.#relay.isFull) return this.#pause();
      const client = acceptTcp(listener, this.#client);
      if (client === NO_RESOURCES) return this.#pause();
      if (client < 0) return;
      this.#serve(client);
    }
  }

  #serve(client: number): void {
    const entry = this.#entryOf(client);
    if (entry === undefined) return reset(client);
    const { service } = entry;
    const list = listFor(entry, "side" in this.#destination ? this.#destination.side : "outside");
    const address = this.#client.address;
    if (list === "none" || !this.#relay.hasRoomFor(service)) {
      service.refused++;
      return reset(client);
    }
    const header = service.spec.proxyProtocol ? this.#headerFor(client, address) : undefined;
    this.#relay.serve(client, service, newAttempt({ list, client: address, header }));
  }

  #entryOf(client: number): FrontendEntry | undefined {
    if ("entry" in this.#destination) return this.#destination.entry;
    if (!originalDestination(client, this.#addressFamily, this.#original)) return undefined;
    const { address, port } = this.#original;
    return this.#destination.table.find(this.#family, "TCP", address, port);
  }

  #headerFor(fd: number, client: string): Uint8Array<ArrayBuffer> {
    // The address of a node port's own listener may be any address.
    if ("entry" in this.#destination) localAddress(fd, this.#original);
    return proxyHeader(this.#family, {
      client,
      clientPort: this.#client.port,
      destination: this.#original.address,
      destinationPort: this.#original.port,
    });
  }
}
