import { type Address, addressBits, formatAddress, isLinkLocal } from "../../../core/net/address.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { rejectionError } from "../../../ffi/netlink/exchange.ts";
import {
  writeDeleteAddress,
  writeDumpAddresses,
  writeNewAddress,
} from "../../../ffi/netlink/rtnetlink/address.ts";
import { IFA_F_NODAD } from "../../../ffi/netlink/rtnetlink/constants.ts";
import {
  decodeLink,
  type Link,
  writeDeleteLink,
  writeGetLink,
  writeNewLink,
} from "../../../ffi/netlink/rtnetlink/link.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import { decodeLinkAddress, type LinkAddress } from "./link_address.ts";
import { DeviceWatch } from "./watch.ts";

/**
 * Device with the addresses of services, ours and kube-proxy's. Its addresses are not addresses of the node.
 */
export const SERVICE_DEVICE = "kube-ipvs0";

/** Addresses of the interfaces of this network namespace. */
export interface InterfaceAddresses {
  /**
   * Addresses of the device. Ours have a prefix that contains no other address. Without the link-local IPv6
   * address, which the kernel adds when another program sets the device up.
   */
  readonly device: readonly LinkAddress[];
  /** Addresses of the other interfaces: the node's own. */
  readonly others: ReadonlySet<Address>;
}

/** An address that the kernel did not add or remove. */
export interface RejectedAddress {
  readonly address: Address;
  readonly error: KernelError;
}

const DUMMY = "dummy";

/**
 * Receive buffer of a watch. Holds the notifications about all addresses of a large cluster, ours among them.
 */
const WATCH_BUFFER_BYTES = 16 * 1024 * 1024;

/**
 * The device that makes service addresses local addresses, so that packets to them reach IPVS. As in
 * kube-proxy it stays down: its addresses are local nevertheless, and no packet can leave by it. One call at
 * a time.
 */
export class DummyDevice implements Disposable {
  readonly #open: OpenNetlink;
  readonly #client: NetlinkClient;
  readonly #watches = new Set<DeviceWatch>();

  /** @param open the seam for tests, as is `name`. */
  constructor(open: OpenNetlink = NetlinkSocket.open, readonly name: string = SERVICE_DEVICE) {
    this.#open = open;
    this.#client = NetlinkClient.open(NETLINK_ROUTE, open);
  }

  /**
   * Creates the device if it does not exist.
   * @returns its index, which changes when the device is deleted and created again.
   * @throws KernelError with advice when the kernel lacks dummy devices.
   */
  async ensure(): Promise<number> {
    const link = await this.#find() ?? await this.#create();
    if (link.kind !== DUMMY) {
      const extack = `an interface of kind ${link.kind || "physical"} has this name`;
      const advice = `Rename or remove it: ip link delete ${this.name}`;
      throw new KernelError(`create the dummy device ${this.name}`, errnoOf("EEXIST"), { extack, advice });
    }
    for (const watch of this.#watches) watch.follow(link.index);
    return link.index;
  }

  /** Returns the index of the device; undefined if it does not exist. */
  async find(): Promise<number | undefined> {
    return (await this.#find())?.index;
  }

  /** @param index of the device; undefined if it does not exist. */
  async addresses(index: number | undefined): Promise<InterfaceAddresses> {
    const answers = await this.#client.dump("list addresses of interfaces", writeDumpAddresses);
    const device: LinkAddress[] = [];
    const others = new Set<Address>();
    for (const { payload } of answers) {
      const one = decodeLinkAddress(payload);
      if (one === undefined) continue;
      if (one.index !== index) others.add(one.address);
      else if (one.address.length === 4 || !isLinkLocal(one.address)) device.push(one);
    }
    return { device, others };
  }

  /**
   * Adds addresses to the device. An existing address is no error.
   * @returns the rejected addresses; the device has all others.
   * @throws KernelError when the request fails as a whole, and for EPERM.
   */
  async add(index: number, addresses: Iterable<Address>): Promise<readonly RejectedAddress[]> {
    const rejected = await this.#client.pipeline(addresses, (message, seq, address) => {
      // IPv6 addresses skip duplicate address detection: they are usable at once, and many nodes have the
      // same ones.
      const flags = address.length === 4 ? 0 : IFA_F_NODAD;
      writeNewAddress(message, seq, index, address, addressBits(address), flags);
    });
    return rejected.flatMap(({ command: address, answer }) => {
      if (answer.errno === errnoOf("EEXIST")) return [];
      const operation = `add address ${formatAddress(address)} to ${this.name}`;
      return [{ address, error: unlessUnprivileged(rejectionError(operation, answer)) }];
    });
  }

  /**
   * Removes addresses from the device. A missing address is no error.
   * @returns the rejected addresses; the device has none of the others.
   * @throws KernelError as `add`.
   */
  async remove(addresses: Iterable<LinkAddress>): Promise<readonly RejectedAddress[]> {
    const rejected = await this.#client.pipeline(
      this.#announced(addresses),
      (message, seq, { index, address, prefix }) => writeDeleteAddress(message, seq, index, address, prefix),
    );
    return rejected.flatMap(({ command: { address }, answer }) => {
      for (const watch of this.#watches) watch.unexpect(address);
      if (answer.errno === errnoOf("EADDRNOTAVAIL") || answer.errno === errnoOf("ENODEV")) return [];
      const operation = `remove address ${formatAddress(address)} from ${this.name}`;
      return [{ address, error: unlessUnprivileged(rejectionError(operation, answer)) }];
    });
  }

  /**
   * Deletes the device with all of its addresses.
   * @returns false if it did not exist.
   */
  async delete(): Promise<boolean> {
    const link = await this.#find();
    if (link === undefined) return false;
    for (const watch of this.#watches) watch.follow(undefined);
    await this.#client.request(
      `delete the device ${this.name}`,
      (message, seq) => writeDeleteLink(message, seq, this.name),
    );
    return true;
  }

  /**
   * Calls back when another program deletes the device or removes an address from it, starting with the next
   * `ensure`. Our own changes are not reported.
   */
  watch(onForeignChange: (what: string) => void): Disposable {
    const transport = this.#open(NETLINK_ROUTE, { receiveBuffer: WATCH_BUFFER_BYTES });
    const watch = new DeviceWatch(transport, this.name, onForeignChange);
    this.#watches.add(watch);
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        watch[Symbol.dispose]();
      },
    };
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    this.#client[Symbol.dispose]();
  }

  async #find(): Promise<Link | undefined> {
    const [answer] = await this.#client.request(
      `look up the device ${this.name}`,
      (message, seq) => writeGetLink(message, seq, this.name),
      { ignore: ["ENODEV"] },
    );
    return answer === undefined ? undefined : decodeLink(answer.payload);
  }

  async #create(): Promise<Link> {
    const operation = `create the dummy device ${this.name}`;
    try {
      await this.#client.request(operation, (message, seq) => writeNewLink(message, seq, this.name, DUMMY));
    } catch (error) {
      // "Unknown device type"
      if (!(error instanceof KernelError) || error.errno !== errnoOf("EOPNOTSUPP")) throw error;
      throw new KernelError(operation, error.errno, {
        extack: error.extack,
        advice: "Dummy devices are in the kernel module dummy (CONFIG_DUMMY)",
        fix: "modprobe dummy",
        cause: error,
      });
    }
    const created = await this.#find();
    if (created === undefined) {
      throw new KernelError(operation, errnoOf("ENODEV"), { extack: "it disappeared after its creation" });
    }
    return created;
  }

  /**
   * Announces our removals to the watches: notifications about IPv6 addresses do not say who removed them.
   */
  *#announced(addresses: Iterable<LinkAddress>): Generator<LinkAddress> {
    for (const one of addresses) {
      for (const watch of this.#watches) watch.expect(one.address);
      yield one;
    }
  }
}

/** @throws the error if it is EPERM, which applies to every address. */
function unlessUnprivileged(error: KernelError): KernelError {
  if (error.errno === errnoOf("EPERM")) throw error;
  return error;
}
