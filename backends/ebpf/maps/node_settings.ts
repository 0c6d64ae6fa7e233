import { type Address, isLinkLocal, isLoopback } from "../../../core/net/address.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import { readIcmpLimits } from "./icmp_limits.ts";
import { Entries, hasEntries, replaceEntries } from "./entries.ts";
import type { EntryMap, KernelMaps } from "./kernel_maps.ts";
import {
  NODE_ADDRESS,
  OFFSET,
  SETTING,
  type SettingsOffsets,
  SIZE,
  viewOf,
  writeAddress,
  writeNetwork,
  writePortRanges,
} from "./layout.ts";
import type { ConntrackTimeouts } from "../../../core/backend/mode.ts";
import type { EbpfOptions } from "../options.ts";
import { type PortRange, readSourcePorts } from "./source_ports.ts";

/**
 * The kernel's defaults, which kube-proxy keeps if a timeout is 0:
 * net/netfilter/nf_conntrack_proto_{tcp,udp}.c
 */
const KERNEL_TIMEOUTS: ConntrackTimeouts = {
  tcpEstablishedTimeoutMs: 432_000_000,
  tcpCloseWaitTimeoutMs: 60_000,
  udpTimeoutMs: 30_000,
  udpStreamTimeoutMs: 120_000,
};

/**
 * Writes the settings of the node: maps `node_settings` and `node_addresses`.
 * @param namespace cookie of the node's network namespace.
 * @param flags of SETTING: those that do not follow from the settings of the node.
 * @param ports source ports of new flows.
 */
export function writeSettings(
  maps: KernelMaps,
  settings: readonly NodeSettings[],
  timeouts: ConntrackTimeouts,
  namespace: bigint,
  flags = 0,
  ports: readonly PortRange[] = readSourcePorts(),
): void {
  maps.node_settings.update(ONLY_KEY, settingsBytes(settings, timeouts, namespace, flags, ports));
  replaceEntries(maps.node_addresses, addressEntries(settings));
}

/** The flags of SETTING that follow from options of the mode. */
export function flagsOf({ sockets }: Pick<EbpfOptions, "sockets">): number {
  return sockets === "node" ? SETTING.SOCKETS_OF_NODE : 0;
}

/** Flags that change while the proxy runs. */
const OTHER_FLAGS = SETTING.LEAVE_NEW_FLOWS | SETTING.FORMER_FLOWS | SETTING.THROUGH_STACK;

/** Reports whether the maps contain what `writeSettings` writes, apart from flags that change while the proxy runs. */
export function hasSettings(
  maps: Pick<KernelMaps, "node_settings" | "node_addresses">,
  settings: readonly NodeSettings[],
  timeouts: ConntrackTimeouts,
  namespace: bigint,
  flags = 0,
  ports: readonly PortRange[] = readSourcePorts(),
): boolean {
  const found = new Uint8Array(SIZE.settings);
  if (!maps.node_settings.lookup(ONLY_KEY, found)) return false;
  const view = viewOf(found);
  const at = OFFSET.settings.flags;
  view.setUint32(at, view.getUint32(at, true) & ~OTHER_FLAGS, true);
  const desired = settingsBytes(settings, timeouts, namespace, flags, ports);
  return found.every((byte, index) => byte === desired[index]) &&
    hasEntries(maps.node_addresses, addressEntries(settings));
}

/**
 * Sets or clears flags of SETTING.
 * @param at offset of the flags.
 * @returns the resulting `struct settings`; undefined if it was never written.
 */
export function changeFlags(
  nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">,
  { set = 0, clear = 0 }: { readonly set?: number; readonly clear?: number },
  at: number = OFFSET.settings.flags,
): DataView<ArrayBuffer> | undefined {
  return change(nodeSettings, (view) => view.setUint32(at, (view.getUint32(at, true) | set) & ~clear, true));
}

/**
 * Changes the source ports of new flows.
 * @param at offsets of the members.
 */
export function changePorts(
  nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">,
  ranges: readonly PortRange[],
  at: Pick<SettingsOffsets, "source_ports" | "port_count"> = OFFSET.settings,
): void {
  change(nodeSettings, (view) => writePortRanges(view, ranges, at));
}

/** @returns the resulting `struct settings`; undefined if it was never written. */
function change(
  nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">,
  edit: (view: DataView<ArrayBuffer>) => void,
): DataView<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(nodeSettings.shape.valueSize);
  if (!nodeSettings.lookup(ONLY_KEY, bytes)) return undefined;
  const view = viewOf(bytes);
  edit(view);
  nodeSettings.update(ONLY_KEY, bytes);
  return view;
}

const ONLY_KEY = new Uint8Array(4);

/** Returns `struct settings`. */
function settingsBytes(
  settings: readonly NodeSettings[],
  timeouts: ConntrackTimeouts,
  namespace: bigint,
  initialFlags: number,
  ports: readonly PortRange[],
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE.settings);
  const view = viewOf(bytes);
  const at = OFFSET.settings;
  let flags = initialFlags;
  for (const { family, localTraffic, masqueradeAll, interfaceAddresses } of settings) {
    const isIPv4 = family === "IPv4";
    if (masqueradeAll) flags |= SETTING.MASQUERADE_ALL;
    if (localTraffic.mode === "cidr") {
      flags |= isIPv4 ? SETTING.LOCAL_BY_ADDRESS_IPV4 : SETTING.LOCAL_BY_ADDRESS_IPV6;
      writeNetwork(view, isIPv4 ? at.local_pods_ipv4 : at.local_pods_ipv6, localTraffic.cidr);
    } else if (localTraffic.mode !== "none") {
      flags |= SETTING.LOCAL_BY_DEVICE;
    }
    const source = interfaceAddresses.find((address) => !isLoopback(address) && !isLinkLocal(address));
    if (source !== undefined) writeAddress(view, isIPv4 ? at.source_ipv4 : at.source_ipv6, source);
  }
  view.setBigUint64(at.namespace, namespace, true);
  view.setUint32(at.flags, flags, true);
  writePortRanges(view, ports);
  const seconds = (timeout: keyof ConntrackTimeouts) =>
    Math.ceil((timeouts[timeout] || KERNEL_TIMEOUTS[timeout]) / 1000);
  view.setUint32(at.tcp_established_seconds, seconds("tcpEstablishedTimeoutMs"), true);
  view.setUint32(at.tcp_closing_seconds, seconds("tcpCloseWaitTimeoutMs"), true);
  view.setUint32(at.udp_seconds, seconds("udpTimeoutMs"), true);
  view.setUint32(at.udp_stream_seconds, seconds("udpStreamTimeoutMs"), true);
  const limits = readIcmpLimits();
  view.setUint32(at.icmp_interval_ms, limits.intervalMs, true);
  view.setUint32(at.icmpv6_interval_ms, limits.intervalMsIPv6, true);
  view.setUint32(at.icmp_per_second, limits.perSecond, true);
  view.setUint32(at.icmp_burst, limits.burst, true);
  return bytes;
}

function addressEntries(settings: readonly NodeSettings[]): Entries {
  const flags = new Map<Address, number>();
  const mark = (address: Address, flag: number) => flags.set(address, (flags.get(address) ?? 0) | flag);
  for (const { nodePorts, interfaceAddresses } of settings) {
    for (const address of interfaceAddresses) mark(address, NODE_ADDRESS.OWN);
    for (const address of nodePorts === "all" ? interfaceAddresses : nodePorts) {
      mark(address, NODE_ADDRESS.PORTS);
    }
  }
  const entries = new Entries(SIZE.address, 4);
  for (const [address, value] of flags) {
    const index = entries.add();
    writeAddress(entries.keys, index * SIZE.address, address);
    entries.values.setUint32(index * 4, value, true);
  }
  return entries;
}
