import { Mutex } from "../../../core/async/mutex.ts";
import type { LocalTraffic } from "../../../core/plan/plan.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient, WriteMessage } from "../../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { Notifications } from "../../../ffi/netlink/notifications.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { writeDumpAddresses } from "../../../ffi/netlink/rtnetlink/address.ts";
import {
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
  RTNLGRP_TC,
} from "../../../ffi/netlink/rtnetlink/constants.ts";
import { writeDumpLinks } from "../../../ffi/netlink/rtnetlink/link.ts";
import { decodeReversePathFilter, writeDumpNetconf } from "../../../ffi/netlink/rtnetlink/netconf.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { hasInterface } from "../../../ffi/system/network_interface.ts";
import { replaceEntries } from "../maps/entries.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { addressEntries, deviceEntries } from "./device_entries.ts";
import {
  decodeDevice,
  decodeSourceAddress,
  deviceThatLostFilters,
  type NetworkDevice,
} from "./network_device.ts";
import { type PeerDevices, SETTLED_MS } from "./peer_devices.ts";
import type { TcAttachment } from "./tc_attach.ts";

/** Selects the devices whose packets are balanced, and those that lead to pods of this node. */
export interface DeviceSelection {
  /** Names; empty for all except loopback. */
  readonly devices: readonly string[];
  readonly localTraffic: readonly LocalTraffic[];
}

/** The maps with the properties of devices. */
export interface DeviceMaps {
  readonly devices: EntryMap;
  readonly device_addresses: EntryMap;
}

/** Changes of devices within this time share one update. */
const SETTLE_MS = 10;

/**
 * Keeps the tc programs attached to the selected devices, and the maps of devices up to date. Every change reads
 * all devices and addresses again, which takes a few milliseconds for a few hundred devices.
 */
export class Devices implements Disposable {
  readonly #attachment: TcAttachment;
  readonly #maps: DeviceMaps;
  /** Undefined if no side of a veth pair may be skipped. */
  readonly #peers: PeerDevices | undefined;
  readonly #client: NetlinkClient;
  readonly #report: (what: string) => void;
  #notifications: Notifications | undefined;
  #selection: DeviceSelection = { devices: [], localTraffic: [] };
  /** Names of devices with the programs, by index. */
  #attached = new Map<number, string>();
  #timer: number | undefined;
  /** Checks again what is attached to veth devices. */
  #checks: number | undefined;
  #isDisposed = false;
  /** Number of devices whose packets go to the other side of a veth pair at once. */
  #peerCount = 0;
  readonly #mutex = new Mutex();

  /** @param report receives failures of updates after notifications, and lost filters. */
  constructor(
    attachment: TcAttachment,
    maps: DeviceMaps,
    peers: PeerDevices | undefined,
    client: NetlinkClient,
    report: (what: string) => void,
  ) {
    this.#attachment = attachment;
    this.#maps = maps;
    this.#peers = peers;
    this.#client = client;
    this.#report = report;
  }

  /**
   * Attaches the programs to all selected devices, and from now on also to new ones.
   * @returns descriptions of devices without the programs.
   * @throws KernelError
   */
  async follow(selection: DeviceSelection): Promise<readonly string[]> {
    this.#selection = selection;
    this.#notifications ??= this.#listen();
    if (this.#peers !== undefined && this.#checks === undefined) {
      this.#checks = setInterval(() => this.#updateSoon(), SETTLED_MS);
      Deno.unrefTimer(this.#checks);
    }
    return await this.#update(true);
  }

  /** Number of devices whose packets go to the other side of a veth pair at once. */
  get peerCount(): number {
    return this.#peerCount;
  }

  /** Names of devices that lost a program. A device that is gone took its programs with it. */
  detached(): readonly string[] {
    return [...this.#attached].filter(([index]) => !this.#attachment.isAttached(index) && hasInterface(index))
      .map(([, name]) => name);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearInterval(this.#checks);
    this.#isDisposed = true;
    this.#notifications?.[Symbol.dispose]();
    this.#client[Symbol.dispose]();
  }

  #listen(): Notifications {
    const transport = NetlinkSocket.open(NETLINK_ROUTE);
    const groups = [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_NETCONF];
    for (const group of groups) transport.joinGroup(group);
    // Lost links are detected by their pins.
    if (!this.#attachment.usesLinks) transport.joinGroup(RTNLGRP_TC);
    const updateSoon = () => this.#updateSoon();
    const each = (message: NetlinkMessage) => {
      const index = deviceThatLostFilters(message);
      if (index === undefined) updateSoon();
      else this.#noteLostFilters(index);
    };
    return new Notifications(transport, { each, missed: updateSoon });
  }

  #updateSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#update(false).catch((error: Error) => {
        if (!this.#isDisposed) this.#report(`programs could not be attached to devices: ${error.message}`);
      });
    }, SETTLE_MS);
  }

  #noteLostFilters(index: number): void {
    const name = this.#attached.get(index);
    if (name === undefined || !this.#attachment.isAttached(index)) return;
    this.#attachment.noteLostFilters(index);
    this.#report(`filters of device ${name} were removed`);
  }

  #update(all: boolean): Promise<readonly string[]> {
    return this.#mutex.run(() => this.#updateNow(all));
  }

  /** @param all also attaches to devices that have programs, because these may be of a previous process. */
  async #updateNow(all: boolean): Promise<readonly string[]> {
    const devices = await this.#read("list network devices", writeDumpLinks, decodeDevice);
    const addresses = await this.#read("list addresses of devices", writeDumpAddresses, decodeSourceAddress);
    const filters = await this.#read("list settings of devices", writeDumpNetconf, decodeReversePathFilter);
    const peers = await this.#peers?.update(devices) ?? new Set<number>();
    if (this.#isDisposed) return [];
    this.#peerCount = peers.size;
    // The maps come before the programs, because these look up devices in them.
    replaceEntries(this.#maps.devices, deviceEntries(devices, filters, this.#selection.localTraffic, peers));
    replaceEntries(this.#maps.device_addresses, addressEntries(addresses));

    const selected = new Map(
      devices.filter((device) => this.#isSelected(device)).map((device) => [device.index, device]),
    );
    const differences: string[] = [];
    for (const device of selected.values()) {
      const isAttached = this.#attachment.isAttached(device.index);
      if (!isAttached) differences.push(`programs were not attached to device ${device.name}`);
      if (all || !this.#attached.has(device.index) || !isAttached) await this.#attach(device);
    }
    const attachedBefore = all ? this.#attachment.attachedBefore(devices) : [];
    for (const index of new Set([...this.#attached.keys(), ...attachedBefore])) {
      if (selected.has(index)) continue;
      this.#attached.delete(index);
      await this.#attachment.detach(index);
    }
    return differences;
  }

  async #attach(device: NetworkDevice): Promise<void> {
    try {
      await this.#attachment.attach(device);
      this.#attached.set(device.index, device.name);
    } catch (error) {
      // ENODEV: the device was removed after the dump.
      if (!(error instanceof KernelError) || error.errnoName !== "ENODEV") throw error;
    }
  }

  #isSelected({ name, isLoopback, layer }: NetworkDevice): boolean {
    if (isLoopback || layer === undefined) return false;
    return this.#selection.devices.length === 0 || this.#selection.devices.includes(name);
  }

  async #read<Decoded>(
    operation: string,
    write: WriteMessage,
    decode: (payload: Uint8Array) => Decoded | undefined,
  ): Promise<readonly Decoded[]> {
    const answers = await this.#client.dump(operation, write);
    return answers.map(({ payload }) => decode(payload)).filter((value) => value !== undefined);
  }
}
