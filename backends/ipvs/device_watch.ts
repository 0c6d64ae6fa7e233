import { type Address, formatAddress } from "../../core/model/address.ts";
import { KernelError } from "../../ffi/errors.ts";
import { messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import {
  RTM_DELADDR,
  RTM_DELLINK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
} from "../../ffi/netlink/rtnetlink.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { linkAddressOf, linkOf } from "./device_messages.ts";

const AFTER_ERROR_MS = 100;

/** Reads the kernel's notifications about the device, and calls back for those of what someone else took from it. */
export class DeviceWatch implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #name: string;
  readonly #onForeignChange: (what: string) => void;
  /** Removals of ours that we are still to be told of: how many of an address. */
  readonly #expected = new Map<Address, number>();
  #index: number | undefined;
  #disposed = false;
  #endRest = () => {};

  /** @param transport its own: it is closed with the watch. */
  constructor(transport: NetlinkTransport, name: string, onForeignChange: (what: string) => void) {
    this.#transport = transport;
    this.#name = name;
    this.#onForeignChange = onForeignChange;
    for (const group of [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) transport.joinGroup(group);
    this.#run();
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
    this.#disposed = true;
    this.#endRest();
    this.#transport[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    // Closing the transport ends the wait.
    while (!this.#disposed) {
      await this.#transport.readable(-1);
      if (this.#disposed || this.#readAll()) continue;
      // Were the socket broken for good, this would turn as fast as it can.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, AFTER_ERROR_MS);
        this.#endRest = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** @returns false when something was lost. */
  #readAll(): boolean {
    const found: string[] = [];
    try {
      for (let datagram; (datagram = this.#transport.receive()) !== undefined;) {
        for (const message of messages(datagram)) found.push(...this.#read(message));
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // ENOBUFS: there was more than the socket holds, and what is expected may have been in it.
      this.#expected.clear();
      this.#onForeignChange(`notifications about ${this.#name} were lost (${error.errnoName})`);
      return false;
    }
    const [first] = found;
    if (first === undefined) return true;
    this.#onForeignChange(found.length === 1 ? first : `${first}, and ${found.length - 1} more like it`);
    return true;
  }

  /** What someone else did, in words. */
  *#read({ type, payload }: NetlinkMessage): Generator<string> {
    if (type === RTM_DELLINK && linkOf(payload).index === this.#index) {
      this.#index = undefined;
      yield `device ${this.#name} was deleted`;
    }
    if (type !== RTM_DELADDR) return;
    const removed = linkAddressOf(payload);
    if (removed === undefined || removed.index !== this.#index || this.unexpect(removed.address)) return;
    yield `address ${formatAddress(removed.address)} was removed from ${this.#name}`;
  }
}
