import { offsetOf } from "../endpoints/packed_endpoints.ts";
import type { EventTarget } from "../event_loop.ts";
import { Expiring } from "../expiry_list.ts";
import type { RelayedService } from "../messages.ts";
import { type FrontendEntry, sameFrontend } from "../services/service_table.ts";
import type { UdpReceiver } from "./receiver.ts";

/** The owner of flows, `UdpRelay`, as a flow sees it. */
export interface FlowOwner {
  /**
   * Handles answers and ICMP errors.
   * @param events bits of EPOLL…
   */
  ready(flow: UdpFlow, events: number): void;
}

/** The datagrams of one client to one frontend. */
export class UdpFlow extends Expiring implements EventTarget {
  readonly receiver: UdpReceiver;
  /** Key in the flows of the receiver. */
  readonly key: string;
  readonly entry: FrontendEntry;
  /** Socket address of the client. */
  readonly client: Uint8Array;
  readonly clientAddress: string;
  /** Address of this node that the client's datagrams come to. */
  readonly local: string;
  /** Connected socket to the endpoint; -1 before. */
  fd = -1;
  /** Packed. */
  endpoint = "";
  /** Endpoints that rejected the flow, packed. */
  rejecting: readonly string[] = [];
  /** The only datagram so far, so that another endpoint can have it; undefined after an answer. */
  question: Uint8Array<ArrayBuffer> | undefined;
  /** Times that the question was sent again to the same endpoint. */
  repetitions = 0;
  sent = 0;
  hasAnswer = false;
  /** Time of the last datagram to the endpoint, or of the choice of the endpoint. */
  lastSent = 0;
  /** Time of the last datagram in either direction. */
  lastUsed = 0;
  readonly #owner: FlowOwner;
  /** State of the service that the flow has been compared with. */
  #spec: RelayedService;

  constructor(
    owner: FlowOwner,
    receiver: UdpReceiver,
    entry: FrontendEntry,
    seen: Pick<UdpFlow, "key" | "client" | "clientAddress" | "local">,
  ) {
    super();
    this.#owner = owner;
    this.receiver = receiver;
    this.entry = entry;
    this.#spec = entry.service.spec;
    this.key = seen.key;
    this.client = seen.client;
    this.clientAddress = seen.clientAddress;
    this.local = seen.local;
  }

  /** Reports whether its endpoint or its frontend is gone. Cheap if the service has not changed since the last call. */
  isOrphan(): boolean {
    const { service: { spec }, frontend } = this.entry;
    if (this.#spec === spec) return false;
    this.#spec = spec;
    const hasEndpoint = [spec.cluster, spec.local, spec.serving].some((list) =>
      offsetOf(list, this.endpoint) >= 0
    );
    return !hasEndpoint || !spec.frontends.some((other) => sameFrontend(other, frontend));
  }

  handleEvents(_fd: number, events: number): void {
    this.#owner.ready(this, events);
  }
}
