import { type Address, addressBits, formatAddress, isLinkLocal } from "../../../core/net/address.ts";
import { SERVICE_DEVICE } from "./service_device.ts";
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

/** What interfaces of this network namespace have. */
export interface NodeAddresses {
  /**
   * On the device, as they are: ours have a prefix that holds nothing but themselves. Without the link-local one of
   * IPv6, which the kernel adds when somebody sets the device up.
   */
  readonly device: readonly LinkAddress[];
  /** On any other interface: they are the node's own. */
  readonly others: ReadonlySet<Address>;
}

/** An address that could not be added or removed, and why. */
export interface RefusedAddress {
  readonly address: Address;
  readonly error: KernelError;
}

const DUMMY = "dummy";

/** A listener must hold the notifications of all addresses of a large cluster, ours among them. */
const WATCH_BUFFER_BYTES = 16 * 1024 * 1024;

/**
 * The device that makes addresses of services addresses of the node, so that what is sent to them comes to IPVS. It
 * stays down, as upstream's: its addresses are local ones even so, and nothing can leave by it.
 * One call at a time.
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
   * Makes the device unless it is there.
   * @returns its index; it has another one after it was removed and made again.
   * @throws KernelError that says how to get dummy devices when the kernel has none.
   */
  async ensure(): Promise<number> {
    const found = await this.#find() ?? await this.#make();
    if (found.kind !== DUMMY) {
      const extack = `there is an interface of that name, of kind ${found.kind || "physical"}`;
      const advice = `Rename or remove it: ip link delete ${this.name}`;
      throw new KernelError(`make the dummy device ${this.name}`, errnoOf("EEXIST"), { extack, advice });
    }
    for (const watch of this.#watches) watch.follow(found.index);
    return found.index;
  }

  /** Its index; undefined when it is not there. */
  async find(): Promise<number | undefined> {
    return (await this.#find())?.index;
  }

  /** @param index of the device; undefined when it is not there. */
  async addresses(index: number | undefined): Promise<NodeAddresses> {
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
   * Binds addresses to the device. Those it has already are no error.
   * @returns those the kernel refused; all others are there.
   * @throws KernelError when the kernel cannot be asked, and EPERM when it refuses all.
   */
  async add(index: number, addresses: Iterable<Address>): Promise<readonly RefusedAddress[]> {
    const rejected = await this.#client.pipeline(addresses, (message, seq, address) => {
      // nodad for IPv6: the address is in force at once, and on many nodes at the same time.
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
   * Takes addresses off the device. Those it does not have are no error.
   * @returns those the kernel refused; all others are gone.
   * @throws KernelError as `add`.
   */
  async remove(addresses: Iterable<LinkAddress>): Promise<readonly RefusedAddress[]> {
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
   * Removes the device with all of its addresses.
   * @returns false when it was not there.
   */
  async delete(): Promise<boolean> {
    const found = await this.#find();
    if (found === undefined) return false;
    for (const watch of this.#watches) watch.follow(undefined);
    await this.#client.request(
      `delete the device ${this.name}`,
      (message, seq) => writeDeleteLink(message, seq, this.name),
    );
    return true;
  }

  /**
   * Calls back when someone else removes the device or takes an address off it, from the next `ensure` on. What we do
   * ourselves is not told.
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
      `look for the device ${this.name}`,
      (message, seq) => writeGetLink(message, seq, this.name),
      { ignore: ["ENODEV"] },
    );
    return answer === undefined ? undefined : decodeLink(answer.payload);
  }

  async #make(): Promise<Link> {
    const operation = `make the dummy device ${this.name}`;
    try {
      await this.#client.request(operation, (message, seq) => writeNewLink(message, seq, this.name, DUMMY));
    } catch (error) {
      // "Unknown device type"
      if (!(error instanceof KernelError) || error.errno !== errnoOf("EOPNOTSUPP")) throw error;
      const advice =
        "Load the kernel's module on the node: modprobe dummy (a kernel has it with CONFIG_DUMMY)";
      throw new KernelError(operation, error.errno, { extack: error.extack, advice, cause: error });
    }
    const made = await this.#find();
    if (made === undefined) {
      throw new KernelError(operation, errnoOf("ENODEV"), { extack: "it is gone again" });
    }
    return made;
  }

  /** The kernel does not say of IPv6 addresses who removed them. */
  *#announced(addresses: Iterable<LinkAddress>): Generator<LinkAddress> {
    for (const one of addresses) {
      for (const watch of this.#watches) watch.expect(one.address);
      yield one;
    }
  }
}

function unlessUnprivileged(error: KernelError): KernelError {
  if (error.errno === errnoOf("EPERM")) throw error;
  return error;
}
