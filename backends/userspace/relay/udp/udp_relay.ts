import type { Family } from "../../../../core/net/protocol.ts";
import { errnoName } from "../../../../ffi/errno.ts";
import { SOL_SOCKET } from "../../../../ffi/libraries/libc.ts";
import { KernelError } from "../../../../ffi/errors.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { errno } from "../../../../ffi/socket/calls.ts";
import { EAGAIN, EMSGSIZE, ENOBUFS, EPOLLERR, EPOLLIN, SO_MARK } from "../../../../ffi/socket/constants.ts";
import { DatagramBatch } from "../../../../ffi/socket/datagrams.ts";
import { setOption, takeError } from "../../../../ffi/socket/options.ts";
import { closeSocket, sendBytes } from "../../../../ffi/socket/stream.ts";
import { connectUdp, udpSocket } from "../../../../ffi/socket/udp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EndpointPicker } from "../endpoints/endpoint_picker.ts";
import { endpointAt, PACKED_BYTES } from "../endpoints/packed_endpoints.ts";
import type { EventLoop, Timer } from "../event_loop.ts";
import { ExpiryList } from "../expiry_list.ts";
import type { Warn } from "../rate_limited_warnings.ts";
import { endpointsOf, listFor, sameFrontend, type Service } from "../services/service_table.ts";
import { ConntrackLookup, type SeenFlow } from "./conntrack_lookup.ts";
import { type FlowOwner, UdpFlow } from "./flow.ts";
import type { DatagramHandler, UdpReceiver } from "./receiver.ts";
import { Rejections } from "./rejections.ts";

/** Datagrams per system call. */
const BATCH = 32;
/** Endpoints that may reject one flow before it ends. */
const MAX_REJECTIONS = 4;
/** Times that a question is sent again because it is too long for its path, which may have several narrow links. */
const MAX_REPETITIONS = 4;
/** Batches of answers that are passed on after an error. They hold more than the receive buffer of a socket. */
const LAST_BATCHES = 16;
/**
 * Time without datagrams after which conntrack is asked again, because the client may have used the same port for
 * another frontend meanwhile. Less than nf_conntrack_udp_timeout (30 s), after which conntrack forgets the flow.
 */
const LOOKUP_AGAIN_MS = 10_000;

export interface UdpRelayOptions {
  readonly loop: EventLoop;
  readonly picker: EndpointPicker;
  /** For the log. */
  readonly endpointFailed: (service: Service, endpoint: string, reason: string) => void;
  readonly warn: Warn;
  /** SO_MARK; 0 for none. */
  readonly mark: number;
  readonly idleMs: number;
  readonly maxFlows: number;
}

/** Carries datagrams between clients and endpoints, with one socket per flow. */
export class UdpRelay implements DatagramHandler, FlowOwner, Timer, Disposable {
  readonly batch = new DatagramBatch(BATCH);
  readonly #replies = new DatagramBatch(BATCH);
  readonly #options: UdpRelayOptions;
  /** All flows, by the time of their last datagram. */
  readonly #idle: ExpiryList<UdpFlow>;
  readonly #lookups = new Map<Family, ConntrackLookup>();
  readonly #rejections = new Rejections();
  readonly #addresses = {
    IPv4: new SocketAddress(FAMILY_NUMBERS.IPv4),
    IPv6: new SocketAddress(FAMILY_NUMBERS.IPv6),
  };
  #flows = 0;
  #acceptsFlows = true;

  constructor(options: UdpRelayOptions) {
    this.#options = options;
    this.#idle = new ExpiryList(options.idleMs);
    options.loop.addTimer(this);
  }

  get openFlows(): number {
    return this.#flows;
  }

  /** Begins no flows from now on. */
  stopAccepting(): void {
    this.#acceptsFlows = false;
  }

  get nextDeadline(): number {
    return this.#idle.nextDeadline;
  }

  expire(now: number): void {
    for (let flow = this.#idle.takeExpired(now); flow !== undefined; flow = this.#idle.takeExpired(now)) {
      this.#end(flow);
    }
  }

  lookup(family: Family): ConntrackLookup | undefined {
    const existing = this.#lookups.get(family);
    if (existing !== undefined) return existing;
    try {
      const lookup = new ConntrackLookup(FAMILY_NUMBERS[family]);
      this.#lookups.set(family, lookup);
      return lookup;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // Without descriptors, for example. The next datagram tries again.
      this.#options.warn("datagrams are dropped, because conntrack cannot be asked for their destination", {
        reason: error.message,
      });
      return undefined;
    }
  }

  received(receiver: UdpReceiver, slot: number): void {
    const source = this.batch.sourceOf(slot);
    const local = this.batch.destinationOf(slot, receiver.addressFamily);
    const key = receiver.keyOf(source, local);
    const flow = this.#current(receiver, key) ?? this.#begin(receiver, key, source, local);
    if (flow !== undefined) this.#send(flow, slot);
  }

  ready(flow: UdpFlow, events: number): void {
    const error = (events & EPOLLERR) !== 0 ? takeError(flow.fd) : 0;
    if (error !== 0) return this.#failed(flow, error);
    const count = this.#passAnswers(flow);
    if (count < 0 && count !== -EAGAIN) this.#failed(flow, -count);
  }

  /** Ends the flows whose endpoint or frontend is gone, after services have changed. */
  endOrphans(): void {
    for (const flow of this.#idle.all()) {
      if (flow.isOrphan()) this.#end(flow);
    }
  }

  /** Ends the flows of a receiver, which is closed. */
  endFlowsOf(receiver: UdpReceiver): void {
    for (const flow of receiver.flows.values()) this.#end(flow);
  }

  [Symbol.dispose](): void {
    for (const lookup of this.#lookups.values()) lookup[Symbol.dispose]();
    this.#rejections[Symbol.dispose]();
  }

  /** Returns the flow of a client, unless the client has begun another one with the same port. */
  #current(receiver: UdpReceiver, key: string): UdpFlow | undefined {
    const flow = receiver.flows.get(key);
    if (flow === undefined || !receiver.isShared) return flow;
    if (this.#options.loop.now - flow.lastUsed < LOOKUP_AGAIN_MS) return flow;
    const entry = receiver.entryOf(this.#seen(receiver, flow.client, flow.local));
    if (entry?.service === flow.entry.service && sameFrontend(entry.frontend, flow.entry.frontend)) {
      return flow;
    }
    this.#end(flow);
    return undefined;
  }

  #begin(receiver: UdpReceiver, key: string, source: Uint8Array, local: string): UdpFlow | undefined {
    if (!this.#acceptsFlows) return undefined;
    const seen = this.#seen(receiver, source, local);
    const entry = receiver.entryOf(seen);
    if (entry === undefined) return undefined;
    const { service } = entry;
    if (listFor(entry, receiver.side) === "none") {
      service.refused++;
      return undefined;
    }
    const oldest = this.#flows >= this.#options.maxFlows ? this.#idle.first : undefined;
    if (oldest !== undefined) this.#end(oldest);
    const flow = new UdpFlow(this, receiver, entry, {
      key,
      client: source.slice(),
      clientAddress: seen.client,
      local,
    });
    receiver.flows.set(key, flow);
    this.#flows++;
    service.connections++;
    service.open++;
    this.#use(flow);
    if (this.#connect(flow)) return flow;
    this.#fail(flow);
    return undefined;
  }

  /** Sends a datagram of the client; to another endpoint after an error. */
  #send(flow: UdpFlow, slot: number): void {
    this.#use(flow);
    for (let error = this.#forward(flow, slot); error !== 0; error = this.#forward(flow, slot)) {
      if (isLoss(error) || error === EMSGSIZE) return;
      this.#avoidEndpoint(flow, error);
      if (!this.#connect(flow)) return this.#fail(flow);
    }
    flow.sent++;
    flow.lastSent = flow.lastUsed;
    flow.question = flow.sent === 1 && !flow.hasAnswer ? this.batch.copyOf(slot) : undefined;
    flow.entry.service.bytesToEndpoints += this.batch.lengthOf(slot);
  }

  /** Sends a datagram to the endpoint of its flow. @returns the error, which may be of an earlier one; 0 if it was sent. */
  #forward(flow: UdpFlow, slot: number): number {
    if (this.batch.forward(slot, flow.fd)) return 0;
    const error = errno();
    this.#passLastAnswers(flow);
    if (error !== EMSGSIZE) return error;
    this.#repeatQuestion(flow);
    return this.batch.forward(slot, flow.fd) ? 0 : errno();
  }

  /** Passes one batch of answers on. @returns their number; negative: the error. */
  #passAnswers(flow: UdpFlow): number {
    const count = this.#replies.receive(flow.fd);
    if (count <= 0) return count < 0 ? -errno() : 0;
    const { service } = flow.entry;
    if (!flow.hasAnswer) {
      flow.hasAnswer = true;
      flow.question = undefined;
      if (this.#options.picker.hasFailures) this.#options.picker.succeeded(service, flow.endpoint);
    }
    for (let slot = 0; slot < count; slot++) service.bytesToClients += this.#replies.lengthOf(slot);
    this.#replies.reply(flow.receiver.fd, count, flow.receiver.addressFamily, flow.client, flow.local);
    this.#use(flow);
    return count;
  }

  /** Passes all answers on after an error, which the kernel reports before the answers that came earlier. */
  #passLastAnswers(flow: UdpFlow): void {
    for (let batch = 0; batch < LAST_BATCHES; batch++) {
      if (this.#passAnswers(flow) < this.#replies.slots) return;
    }
  }

  /** Handles an ICMP error about a datagram that was sent. */
  #failed(flow: UdpFlow, error: number): void {
    this.#passLastAnswers(flow);
    if (error === EMSGSIZE) return this.#repeatQuestion(flow);
    this.#avoidEndpoint(flow, error);
    const { question } = flow;
    if (question === undefined) {
      this.#tellClient(flow);
      return this.#end(flow);
    }
    while (this.#connect(flow)) {
      if (sendBytes(flow.fd, question) >= 0) return;
      const reason = errno();
      if (isLoss(reason)) return;
      this.#avoidEndpoint(flow, reason);
    }
    this.#fail(flow);
  }

  /**
   * Sends a question again that was too long for its path ("fragmentation needed" or "packet too big"). The kernel has
   * learned the path MTU from that error, and sends it in fragments. The endpoint is not to blame.
   */
  #repeatQuestion(flow: UdpFlow): void {
    if (flow.question === undefined || flow.repetitions >= MAX_REPETITIONS) return;
    flow.repetitions++;
    sendBytes(flow.fd, flow.question);
  }

  /** Connects a flow to an endpoint that has not rejected it. @returns false if there is none. */
  #connect(flow: UdpFlow): boolean {
    const { loop, picker, mark } = this.#options;
    const { service } = flow.entry;
    const { family } = service.spec;
    while (flow.rejecting.length < MAX_REJECTIONS) {
      this.#closeSocket(flow);
      const list = endpointsOf(service, listFor(flow.entry, flow.receiver.side));
      const offset = picker.pick(service, list, flow.clientAddress, flow.rejecting, loop.now);
      const fd = offset < 0 ? -1 : udpSocket(FAMILY_NUMBERS[family]);
      if (fd < 0) return false;
      flow.fd = fd;
      flow.endpoint = endpointAt(list, offset, PACKED_BYTES[family]);
      flow.hasAnswer = false;
      flow.lastSent = loop.now;
      if (flow.rejecting.length > 0) service.retries++;
      if (mark !== 0) setOption(fd, SOL_SOCKET, SO_MARK, mark);
      const address = this.#addresses[family];
      address.setPacked(list, offset);
      if (connectUdp(fd, address)) return loop.add(fd, flow, EPOLLIN);
      const error = errno();
      // Without a free local port, the endpoint is not to blame.
      if (error === EAGAIN) return false;
      this.#avoidEndpoint(flow, error);
    }
    return false;
  }

  #avoidEndpoint(flow: UdpFlow, error: number): void {
    const { picker, loop, endpointFailed } = this.#options;
    picker.failed(flow.entry.service, flow.endpoint, flow.lastSent, loop.now);
    endpointFailed(flow.entry.service, flow.endpoint, errnoName(error));
    flow.rejecting = [...flow.rejecting, flow.endpoint];
  }

  #use(flow: UdpFlow): void {
    flow.lastUsed = this.#options.loop.now;
    this.#idle.renew(flow, flow.lastUsed);
  }

  #fail(flow: UdpFlow): void {
    flow.entry.service.failures++;
    this.#tellClient(flow);
    this.#end(flow);
  }

  /** Passes the endpoints' ICMP error on. */
  #tellClient({ receiver, client, local }: UdpFlow): void {
    const { client: source, clientPort: sourcePort } = receiver.clientOf(client);
    this.#rejections.send(
      receiver.family,
      { source, sourcePort, destination: local, destinationPort: receiver.port },
      this.#options.loop.now,
    );
  }

  #end(flow: UdpFlow): void {
    // It may have ended already.
    if (!flow.receiver.flows.delete(flow.key)) return;
    this.#idle.remove(flow);
    this.#closeSocket(flow);
    this.#flows--;
    flow.entry.service.open--;
  }

  #closeSocket(flow: UdpFlow): void {
    if (flow.fd < 0) return;
    this.#options.loop.forget(flow.fd);
    closeSocket(flow.fd);
    flow.fd = -1;
  }

  #seen(receiver: UdpReceiver, client: Uint8Array, local: string): SeenFlow {
    return { ...receiver.clientOf(client), local, localPort: receiver.port };
  }
}

/** Reports whether a datagram was lost for want of memory, as in any network. */
function isLoss(error: number): boolean {
  return error === EAGAIN || error === ENOBUFS;
}
