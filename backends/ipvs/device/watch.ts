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

/**
 * Reads notifications about a device, and calls back when another program deletes it or one of its addresses.
 */
export class DeviceWatch implements Disposable {
  readonly #name: string;
  readonly #onForeignChange: (what: string) => void;
  /** Our own removals whose notifications are still to come: their number per address. */
  readonly #expected = new Map<Address, number>();
  #index: number | undefined;
  /** Foreign changes since the last report. */
  #changes: string[] = [];
  readonly #notifications: Notifications;

  /** @param transport closed together with the watch. */
  constructor(transport: NetlinkTransport, name: string, onForeignChange: (what: string) => void) {
    this.#name = name;
    this.#onForeignChange = onForeignChange;
    for (const group of [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) transport.joinGroup(group);
    this.#notifications = new Notifications(transport, {
      each: (message) => this.#changes.push(...this.#foreignChanges(message)),
      drained: () => this.#report(),
      missed: ({ errnoName }) => {
        // The expected notifications may be among the missed ones.
        this.#expected.clear();
        this.#changes = [];
        this.#onForeignChange(`missed notifications about ${this.#name} (${errnoName})`);
      },
    });
  }

  /** @param index of the device; undefined for none. */
  follow(index: number | undefined): void {
    this.#index = index;
    this.#expected.clear();
  }

  /** Announces that we are about to remove this address. */
  expect(address: Address): void {
    this.#expected.set(address, (this.#expected.get(address) ?? 0) + 1);
  }

  /**
   * Takes back one announcement.
   * @returns false if the address was not announced.
   */
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

  #report(): void {
    const [first, ...more] = this.#changes;
    this.#changes = [];
    if (first === undefined) return;
    this.#onForeignChange(more.length === 0 ? first : `${first}, and ${more.length} more like it`);
  }

  *#foreignChanges({ type, payload }: NetlinkMessage): Generator<string> {
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
