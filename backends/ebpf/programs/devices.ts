import { Mutex } from "../../../core/async/mutex.ts";
import { isLoopback } from "../../../core/net/address.ts";
import type { LocalTraffic } from "../../../core/plan/plan.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient, WriteMessage } from "../../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { Notifications } from "../../../ffi/netlink/notifications.ts";
import {
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
  RTNLGRP_TC,
} from "../../../ffi/netlink/rtnetlink/constants.ts";
import { writeDumpAddresses } from "../../../ffi/netlink/rtnetlink/address.ts";
import { writeDumpLinks } from "../../../ffi/netlink/rtnetlink/link.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import type { Attachment } from "./tc_attach.ts";
import {
  decodeDevice,
  decodeSourceAddress,
  deviceThatLostFilters,
  type NetworkDevice,
  type SourceAddress,
} from "./network_device.ts";
import { Entries, replaceEntries } from "../maps/entries.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { DEVICE, OFFSET, SIZE, writeAddress } from "../maps/layout.ts";

/** What decides which devices packets are balanced on, and which of them are pods'. */
export interface DeviceChoice {
  /** Names; empty for all but loopback. */
  readonly devices: readonly string[];
  readonly localTraffic: readonly LocalTraffic[];
}

/** Devices that come and go one after the other are looked at once. */
const SETTLE_MS = 10;

/**
 * Keeps the programs of packets on the devices they belong on, and map `devices` true. Everything is read anew after
 * each change: a node has a few hundred devices, which are a few milliseconds.
 */
export class Devices implements Disposable {
  readonly #attachment: Attachment;
  readonly #map: EntryMap;
  readonly #client: NetlinkClient;
  readonly #report: (what: string) => void;
  #notifications: Notifications | undefined;
  #choice: DeviceChoice = { devices: [], localTraffic: [] };
  #attached = new Map<number, string>();
  #settling: number | undefined;
  /** One look at a time. */
  readonly #mutex = new Mutex();

  /** @param report of what goes wrong while nobody waits for it, and of filters that somebody takes off. */
  constructor(
    attachment: Attachment,
    map: EntryMap,
    client: NetlinkClient,
    report: (what: string) => void,
  ) {
    this.#attachment = attachment;
    this.#map = map;
    this.#client = client;
    this.#report = report;
  }

  /**
   * Attaches the programs to all devices that are chosen, from now on also to those that appear.
   * @returns what was not attached as it should be, in words.
   * @throws KernelError
   */
  async follow(choice: DeviceChoice): Promise<readonly string[]> {
    this.#choice = choice;
    this.#notifications ??= this.#listen();
    return await this.#look(true);
  }

  /** Devices that lost a program, in words. */
  missing(): readonly string[] {
    return [...this.#attached].filter(([index]) => !this.#attachment.isAttached(index)).map(([, name]) =>
      name
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#settling);
    this.#notifications?.[Symbol.dispose]();
    this.#client[Symbol.dispose]();
  }

  #listen(): Notifications {
    const transport = NetlinkSocket.open(NETLINK_ROUTE);
    for (const group of [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) transport.joinGroup(group);
    // Links that go are seen where they are pinned.
    if (!this.#attachment.hasLinks) transport.joinGroup(RTNLGRP_TC);
    const lookSoon = () => {
      this.#settling ??= setTimeout(() => {
        this.#settling = undefined;
        this.#look(false).catch((error: Error) => this.#report(`devices are not followed: ${error.message}`));
      }, SETTLE_MS);
    };
    const each = (message: NetlinkMessage) => {
      const loser = deviceThatLostFilters(message);
      if (loser === undefined) lookSoon();
      else this.#noteLoss(loser);
    };
    return new Notifications(transport, { each, missed: lookSoon });
  }

  #noteLoss(index: number): void {
    const name = this.#attached.get(index);
    if (name === undefined || !this.#attachment.isAttached(index)) return;
    this.#attachment.losesFilters(index);
    this.#report(`device ${name} lost filters`);
  }

  #look(all: boolean): Promise<readonly string[]> {
    return this.#mutex.run(() => this.#lookNow(all));
  }

  /** @param all also those that have the programs get them, for they may be other ones now. */
  async #lookNow(all: boolean): Promise<readonly string[]> {
    const links = await this.#read("list network devices", writeDumpLinks, decodeDevice);
    const addresses = await this.#read("list addresses of devices", writeDumpAddresses, decodeSourceAddress);
    // Where a packet leaves is known before packets come in.
    replaceEntries(this.#map, deviceEntries(links, addresses, this.#choice.localTraffic));

    const wanted = new Map(links.filter((link) => this.#isChosen(link)).map((link) => [link.index, link]));
    const differences: string[] = [];
    for (const link of wanted.values()) {
      const isAttached = this.#attachment.isAttached(link.index);
      if (!isAttached) differences.push(`device ${link.name} had no programs`);
      if (all || !this.#attached.has(link.index) || !isAttached) await this.#attach(link);
    }
    const before = all ? this.#attachment.leftOn(links) : [];
    for (const index of new Set([...this.#attached.keys(), ...before])) {
      if (wanted.has(index)) continue;
      this.#attached.delete(index);
      await this.#attachment.detach(index);
    }
    return differences;
  }

  async #attach(link: NetworkDevice): Promise<void> {
    try {
      await this.#attachment.attach(link);
      this.#attached.set(link.index, link.name);
    } catch (error) {
      // It has gone while we looked.
      if (!(error instanceof KernelError) || error.errnoName !== "ENODEV") throw error;
    }
  }

  #isChosen({ name, isLoopback, layer }: NetworkDevice): boolean {
    if (isLoopback || layer === undefined) return false;
    return this.#choice.devices.length === 0 || this.#choice.devices.includes(name);
  }

  async #read<Read>(
    operation: string,
    write: WriteMessage,
    read: (payload: Uint8Array) => Read | undefined,
  ): Promise<readonly Read[]> {
    const answers = await this.#client.dump(operation, write);
    return answers.map(({ payload }) => read(payload)).filter((value) => value !== undefined);
  }
}

/** `struct device` of each, by its index. */
function deviceEntries(
  links: readonly NetworkDevice[],
  addresses: readonly SourceAddress[],
  localTraffic: readonly LocalTraffic[],
): Entries {
  const entries = new Entries(KEY_BYTES, SIZE.device);
  const offsets = new Map<number, number>();
  const names = new Map(links.map(({ index, name }) => [index, name]));
  for (const { index, name, master } of links) {
    const at = entries.add();
    entries.keys.setUint32(at * KEY_BYTES, index, true);
    offsets.set(index, at * SIZE.device);
    // A bridge has the link-layer address of one of its ports: what comes by that one is for the node there already.
    const called = [name, master === undefined ? "" : names.get(master) ?? ""];
    if (!localTraffic.some((traffic) => called.some((name) => isOfPods(traffic, name)))) continue;
    entries.values.setUint32(at * SIZE.device + OFFSET.device.flags, DEVICE.LOCAL_PODS, true);
  }
  // The kernel lists the addresses of a device in the order in which it chooses among them: the first of each counts.
  for (const { index, address } of addresses.toReversed()) {
    const offset = offsets.get(index);
    if (offset === undefined || isLoopback(address)) continue;
    const member = address.length === 4 ? OFFSET.device.source_ipv4 : OFFSET.device.source_ipv6;
    writeAddress(entries.values, offset + member, address);
  }
  return entries;
}

const KEY_BYTES = 4;

function isOfPods(traffic: LocalTraffic, device: string): boolean {
  if (traffic.mode === "interface") return device === traffic.name;
  return traffic.mode === "interface-prefix" && device.startsWith(traffic.prefix);
}
