import { KernelError } from "../../ffi/errors.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { Notifications } from "../../ffi/netlink/notifications.ts";
import { decodeAddress, writeDumpAddresses } from "../../ffi/netlink/rtnetlink/address.ts";
import {
  RTM_DELADDR,
  RTM_NEWADDR,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
} from "../../ffi/netlink/rtnetlink/constants.ts";
import { decodeLink, writeGetLink } from "../../ffi/netlink/rtnetlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import { delay, Wakeup } from "../async/wakeup.ts";
import { type Address, addressFromBytes } from "../net/address.ts";
import { sameList } from "../objects/equality.ts";
import type { Log } from "../observe/log.ts";

/** Address changes within this time are one change, for example when an interface gets several addresses. */
const SETTLE_MS = 50;

/** Delay of another attempt to list the addresses. */
const RETRY_MS = 1000;

export interface InterfaceAddressesOptions {
  /** Devices to leave out, because their addresses are those of services. */
  readonly serviceDevices: readonly string[];
  readonly log: Log;
  /** The seam for tests. */
  readonly open?: OpenNetlink;
  readonly retryMs?: number;
}

/** Holds the notifications about the addresses of all services of a large cluster. */
const WATCH_BUFFER_BYTES = 16 * 1024 * 1024;

/** An address of an interface, by the index of the interface. */
interface InterfaceAddress {
  readonly index: number;
  readonly address: Address;
}

/** An address came or went. The kernel also notifies of changes of an address that stays. */
interface AddressChange extends InterfaceAddress {
  readonly isRemoved: boolean;
}

/**
 * Follows the addresses of the interfaces in this network namespace. They are listed once, and then kept up to date by
 * notifications, because a node has thousands of services and interfaces come and go with every pod. Nothing blocks
 * the main thread: the kernel waits for its rtnl_mutex before it lists addresses.
 */
export class InterfaceAddresses {
  readonly #serviceDevices: readonly string[];
  readonly #log: Log;
  readonly #open: OpenNetlink;
  readonly #retryMs: number;
  readonly #listed = Promise.withResolvers<void>();
  /** Known addresses by index and address, in the order in which they were added. */
  readonly #addresses = new Map<string, InterfaceAddress>();
  #changes: AddressChange[] = [];
  #isOutdated = true;
  readonly #notified = new Wakeup();

  constructor(
    { serviceDevices, log, open = NetlinkSocket.open, retryMs = RETRY_MS }: InterfaceAddressesOptions,
  ) {
    this.#serviceDevices = serviceDevices;
    this.#log = log;
    this.#open = open;
    this.#retryMs = retryMs;
  }

  /** Resolves when `current` is known. */
  get listed(): Promise<void> {
    return this.#listed.promise;
  }

  /** Addresses of the node itself, in the order of its interfaces. Empty before `listed`. */
  get current(): readonly Address[] {
    const known = [...this.#addresses.values()].sort((a, b) => a.index - b.index);
    return known.map(({ address }) => address);
  }

  /**
   * Calls back after the node gained or lost an address, until the signal aborts.
   * @throws KernelError if addresses cannot be listed at the start. Later, the last ones stay in force, and it is
   * retried.
   */
  async follow(onChange: () => void, signal: AbortSignal): Promise<void> {
    using client = NetlinkClient.open(NETLINK_ROUTE, this.#open);
    const transport = this.#open(NETLINK_ROUTE, { receiveBuffer: WATCH_BUFFER_BYTES });
    // Listen first, so that no change is missed.
    for (const group of [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) transport.joinGroup(group);
    using _notifications = new Notifications(transport, {
      each: ({ type, payload }) => this.#note(type, payload),
      drained: () => this.#notified.wake(),
      missed: () => {
        this.#isOutdated = true;
        this.#notified.wake();
      },
    });
    signal.addEventListener("abort", () => this.#notified.wake(), { once: true });
    await this.#update(client, signal);
    this.#listed.resolve();
    while (!signal.aborted) {
      await this.#notified.waitUntil(Infinity);
      await delay(SETTLE_MS, signal);
      const before = this.current;
      await this.#updateUntilKnown(client, signal);
      if (!sameList(before, this.current, (one, other) => one === other)) onChange();
    }
  }

  #note(type: number, payload: Uint8Array): void {
    if (type !== RTM_NEWADDR && type !== RTM_DELADDR) return;
    const address = addressOf(payload);
    if (address !== undefined) this.#changes.push({ ...address, isRemoved: type === RTM_DELADDR });
  }

  async #updateUntilKnown(client: NetlinkClient, signal: AbortSignal): Promise<void> {
    let hasFailed = false;
    while (!signal.aborted) {
      try {
        await this.#update(client, signal);
        if (hasFailed) this.#log.info("The addresses of this node can be read again");
        return;
      } catch (error) {
        const problem =
          "The addresses of this node cannot be read; the last ones stay in force, and it is retried";
        if (!hasFailed) this.#log.error(problem, { err: error });
        hasFailed = true;
        this.#isOutdated = true;
        await delay(this.#retryMs, signal);
      }
    }
  }

  async #update(client: NetlinkClient, signal: AbortSignal): Promise<void> {
    while (this.#isOutdated && !signal.aborted) {
      this.#isOutdated = false;
      // Changes from now on are applied to the new list.
      this.#changes = [];
      if (await this.#list(client)) break;
      this.#isOutdated = true;
      await delay(this.#retryMs, signal);
    }
    const changes = this.#changes;
    this.#changes = [];
    if (changes.length === 0) return;
    const services = await this.#serviceIndexes(client);
    for (const { index, address, isRemoved } of changes) {
      const key = `${index} ${address}`;
      if (isRemoved) this.#addresses.delete(key);
      else if (!services.has(index) && !this.#addresses.has(key)) {
        this.#addresses.set(key, { index, address });
      }
    }
  }

  /** @returns false if the addresses kept changing meanwhile. */
  async #list(client: NetlinkClient): Promise<boolean> {
    const services = await this.#serviceIndexes(client);
    const listed: InterfaceAddress[] = [];
    try {
      for (const { payload } of await client.dump("list addresses of interfaces", writeDumpAddresses)) {
        const address = addressOf(payload);
        if (address !== undefined && !services.has(address.index)) listed.push(address);
      }
    } catch (error) {
      if (error instanceof KernelError && error.errnoName === "EINTR") return false;
      throw error;
    }
    this.#addresses.clear();
    for (const one of listed) this.#addresses.set(`${one.index} ${one.address}`, one);
    return true;
  }

  async #serviceIndexes(client: NetlinkClient): Promise<ReadonlySet<number>> {
    const indexes = new Set<number>();
    for (const device of this.#serviceDevices) {
      const [link] = await client.request(
        `look up the device ${device}`,
        (message, seq) => writeGetLink(message, seq, device),
        { ignore: ["ENODEV"] },
      );
      if (link !== undefined) indexes.add(decodeLink(link.payload).index);
    }
    return indexes;
  }
}

function addressOf(payload: Uint8Array): InterfaceAddress | undefined {
  const decoded = decodeAddress(payload);
  return decoded && { index: decoded.index, address: addressFromBytes(decoded.bytes) };
}
