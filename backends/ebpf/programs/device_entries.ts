import { isLoopback } from "../../../core/net/address.ts";
import type { LocalTraffic } from "../../../core/plan/plan.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";
import { NETCONFA_IFINDEX_ALL } from "../../../ffi/netlink/rtnetlink/constants.ts";
import type { ReversePathFilter } from "../../../ffi/netlink/rtnetlink/netconf.ts";
import { Entries } from "../maps/entries.ts";
import { DEVICE, OFFSET, SIZE, writeAddress, writeNetwork } from "../maps/layout.ts";
import type { NetworkDevice, SourceAddress } from "./network_device.ts";

/**
 * Entries of map `devices`: `struct device` by index.
 * @param peers indexes of veth devices whose packets may be put on the other side of the pair.
 */
export function deviceEntries(
  devices: readonly NetworkDevice[],
  filters: readonly ReversePathFilter[],
  localTraffic: readonly LocalTraffic[],
  peers: ReadonlySet<number>,
): Entries {
  const entries = new Entries(KEY_BYTES, SIZE.device);
  const byIndex = new Map(devices.map((device) => [device.index, device]));
  const filtered = new Set(filters.filter(({ mode }) => mode !== 0).map(({ index }) => index));
  for (const device of devices) {
    const at = entries.add();
    entries.keys.setUint32(at * KEY_BYTES, device.index, true);
    // A bridge has the link-layer address of one of its ports, so packets for the node are already balanced
    // at that port.
    const master = device.master === undefined ? undefined : byIndex.get(device.master);
    const names = [device.name, master?.name ?? ""];
    let flags = 0;
    if (localTraffic.some((traffic) => names.some((name) => leadsToPods(traffic, name)))) {
      flags |= DEVICE.LOCAL_PODS;
    }
    if (filtered.has(NETCONFA_IFINDEX_ALL) || filtered.has(device.index)) flags |= DEVICE.REVERSE_PATH;
    if (device.layer === "l3") flags |= DEVICE.NEEDS_ROUTE;
    if (peers.has(device.index)) flags |= DEVICE.HAS_PEER;
    const offset = at * SIZE.device;
    entries.values.setUint32(offset + OFFSET.device.flags, flags, true);
    entries.values.setUint32(offset + OFFSET.device.bridge, bridgeOf(device, byIndex), true);
  }
  return entries;
}

/** Entries of map `device_addresses`: `struct device_address` by device, family and position. */
export function addressEntries(addresses: readonly SourceAddress[]): Entries {
  const entries = new Entries(SIZE.device_address_key, SIZE.device_address);
  const positions = new Map<string, number>();
  for (const { index, address, network } of addresses) {
    if (isLoopback(address)) continue;
    const family = address.length === 4 ? AF_INET : AF_INET6;
    const list = `${index} ${family}`;
    const position = positions.get(list) ?? 0;
    positions.set(list, position + 1);
    const at = entries.add();
    const key = at * SIZE.device_address_key;
    entries.keys.setUint32(key + OFFSET.device_address_key.device, index, true);
    entries.keys.setUint16(key + OFFSET.device_address_key.family, family, true);
    entries.keys.setUint16(key + OFFSET.device_address_key.position, position, true);
    const value = at * SIZE.device_address;
    writeAddress(entries.values, value + OFFSET.device_address.address, address);
    writeNetwork(entries.values, value + OFFSET.device_address.network, network);
  }
  return entries;
}

const KEY_BYTES = 4;

/** Kinds of devices whose packets for each other pass a bridge below the programs. */
const SWITCHED_KINDS: ReadonlySet<string> = new Set(["bridge", "macvlan", "macvtap", "ipvlan", "ipvtap"]);

/** Index of the device behind which the machines reach each other directly: see `struct device` in bpf/maps/node.h. */
function bridgeOf(device: NetworkDevice, byIndex: ReadonlyMap<number, NetworkDevice>): number {
  if (SWITCHED_KINDS.has(device.kind)) return device.index;
  const isBridge = (index: number | undefined) =>
    index !== undefined && byIndex.get(index)?.kind === "bridge";
  if (isBridge(device.master)) return device.master ?? 0;
  // A VLAN of a bridge.
  return device.kind === "vlan" && isBridge(device.lower) ? device.index : 0;
}

function leadsToPods(traffic: LocalTraffic, device: string): boolean {
  if (traffic.mode === "interface") return device === traffic.name;
  return traffic.mode === "interface-prefix" && device.startsWith(traffic.prefix);
}
