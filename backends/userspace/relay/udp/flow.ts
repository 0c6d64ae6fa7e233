import { EPOLLERR, EPOLLIN } from "../../../../ffi/socket/constants.ts";
import type { EventTarget } from "../event_loop.ts";
import { Expiring } from "../expiry_list.ts";
import type { RelayedService } from "../messages.ts";
import type { FrontendEntry } from "../services/service_table.ts";
import type { UdpReceiver } from "./receiver.ts";

/** The owner of flows, `UdpRelay`, as a flow sees it. */
export interface FlowOwner {
  answered(flow: UdpFlow): void;
  /** The endpoint does not want datagrams: an ICMP error came. */
  rejected(flow: UdpFlow): void;
}

/** The datagrams of one client to one frontend. */
export class UdpFlow extends Expiring implements EventTarget {
  readonly receiver: UdpReceiver;
  /** Key in the flows of the receiver. */
  readonly key: string;
  readonly entry: FrontendEntry;
  /** The state of the service that the flow has been compared with. */
  spec: RelayedService;
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
  sent = 0;
  hasAnswer = false;
  /** Time of the last datagram in either direction. */
  lastUsed = 0;
  readonly #owner: FlowOwner;

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
    this.spec = entry.service.spec;
    this.key = seen.key;
    this.client = seen.client;
    this.clientAddress = seen.clientAddress;
    this.local = seen.local;
  }

  handleEvents(_fd: number, events: number): void {
    if ((events & EPOLLIN) !== 0) this.#owner.answered(this);
    else if ((events & EPOLLERR) !== 0) this.#owner.rejected(this);
  }
}
