import { type Address, formatAddress } from "../../../core/net/address.ts";
import { Notifications } from "../../../ffi/netlink/notifications.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import {
  RTM_DELADDR,
  RTM_DELLINK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
} from "../../../ffi/netlink/rtnetlink/constants.ts";
import { decodeLink } from "../../../ffi/netlink/rtnetlink/link.ts";
import type { NetlinkTransport } from "../../../ffi/netlink/transport.ts";
import { decodeLinkAddress } from "./link_address.ts";

/** Reads the kernel's notifications about the device, and calls back for those of what someone else took from it. */
export class DeviceWatch implements Disposable {
  readonly #name: string;
  readonly #onForeignChange: (what: string) => void;
  /** Removals of ours that we are still to be told of: how many of an address. */
  readonly #expected = new Map<Address, number>();
  #index: number | undefined;
  /** What was found since it was last told, in words. */
  #found: string[] = [];
  readonly #notifications: Notifications;

  /** @param transport its own: it is closed with the watch. */
  constructor(transport: NetlinkTransport, name: string, onForeignChange: (what: string) => void) {
    this.#name = name;
    this.#onForeignChange = onForeignChange;
    for (const group of [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) transport.joinGroup(group);
    this.#notifications = new Notifications(transport, {
      each: (message) => this.#found.push(...this.#read(message)),
      drained: () => this.#tell(),
      missed: ({ errnoName }) => {
        // What is expected may have been in it.
        this.#expected.clear();
        this.#found = [];
        this.#onForeignChange(`notifications about ${this.#name} were lost (${errnoName})`);
      },
    });
  }

  /** @param index of the device that is meant; undefined for none. */
  follow(index: number | undefined): void {
    this.#index = index;
    this.#expected.clear();
  }

  /** We are about to remove this address. */
  expect(address: Address): void {
    this.#expected.set(address, (this.#expected.get(address) ?? 0) + 1);
  }

  /** We did not remove it: takes back one that was expected. */
  unexpect(address: Address): boolean {
    const count = this.#expected.get(address);
    if (count === undefined) return false;
    if (count === 1) this.#expected.delete(address);
    else this.#expected.set(address, count - 1);
    return true;
  }

  [Symbol.dispose](): void {
    this.#notifications[Symbol.dispose]();
  }

  #tell(): void {
    const [first, ...more] = this.#found;
    this.#found = [];
    if (first === undefined) return;
    this.#onForeignChange(more.length === 0 ? first : `${first}, and ${more.length} more like it`);
  }

  /** What someone else did, in words. */
  *#read({ type, payload }: NetlinkMessage): Generator<string> {
    if (type === RTM_DELLINK && decodeLink(payload).index === this.#index) {
      this.#index = undefined;
      yield `device ${this.#name} was deleted`;
    }
    if (type !== RTM_DELADDR) return;
    const removed = decodeLinkAddress(payload);
    if (removed === undefined || removed.index !== this.#index || this.unexpect(removed.address)) return;
    yield `address ${formatAddress(removed.address)} was removed from ${this.#name}`;
  }
}
