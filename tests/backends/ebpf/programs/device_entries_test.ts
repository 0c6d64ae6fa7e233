import assert from "node:assert/strict";
import { addressEntries, deviceEntries } from "../../../../backends/ebpf/programs/device_entries.ts";
import type { NetworkDevice } from "../../../../backends/ebpf/programs/network_device.ts";
import { DEVICE, OFFSET, SIZE } from "../../../../backends/ebpf/maps/layout.ts";
import { NETCONFA_IFINDEX_ALL } from "../../../../ffi/netlink/rtnetlink/constants.ts";
import { addressOf, cidrOf } from "../../plans.ts";

function device(index: number, more: Partial<NetworkDevice> = {}): NetworkDevice {
  return {
    index,
    name: `dev${index}`,
    master: undefined,
    lower: undefined,
    isLowerElsewhere: false,
    kind: "veth",
    isLoopback: false,
    layer: "l2",
    ...more,
  };
}

/** Flags and bridge by index. */
function read(
  devices: readonly NetworkDevice[],
  filters: Parameters<typeof deviceEntries>[1] = [],
  peers: ReadonlySet<number> = new Set(),
): Record<number, readonly [flags: number, bridge: number]> {
  const { keys, values, count } = deviceEntries(devices, filters, [], peers);
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => {
      const offset = SIZE.device * at;
      const flags = values.getUint32(offset + OFFSET.device.flags, true);
      return [keys.getUint32(4 * at, true), [flags, values.getUint32(offset + OFFSET.device.bridge, true)]];
    }),
  );
}

Deno.test("a bridge, its ports and its VLANs; devices whose master or lower device is none", () => {
  const devices = [
    device(1, { kind: "bridge" }),
    device(2, { master: 1 }),
    device(3, { kind: "vlan", lower: 1 }),
    device(4, { kind: "bond" }),
    device(5, { master: 4 }),
    device(6, { kind: "vlan", lower: 4 }),
    device(7, { kind: "macvlan", lower: 4 }),
    // The peer of a veth device in another network namespace has any index.
    device(8, { lower: 1 }),
  ];
  assert.deepEqual(read(devices), {
    1: [0, 1],
    2: [0, 1],
    3: [0, 3],
    4: [0, 0],
    5: [0, 0],
    6: [0, 0],
    7: [0, 7],
    8: [0, 0],
  });
});

Deno.test("devices whose side of a veth pair is skipped", () => {
  assert.deepEqual(read([device(1), device(2)], [], new Set([2, 3])), { 1: [0, 0], 2: [DEVICE.HAS_PEER, 0] });
});

Deno.test("rp_filter applies if it is on for the device or for all", () => {
  const devices = [device(1), device(2), device(3, { layer: "l3" })];
  const filters = [{ index: 1, mode: 0 }, { index: 2, mode: 2 }, { index: NETCONFA_IFINDEX_ALL, mode: 0 }];
  assert.deepEqual(read(devices, filters), {
    1: [0, 0],
    2: [DEVICE.REVERSE_PATH, 0],
    3: [DEVICE.NEEDS_ROUTE, 0],
  });
  const all = [{ index: NETCONFA_IFINDEX_ALL, mode: 1 }];
  assert.deepEqual(read(devices, all)[1], [DEVICE.REVERSE_PATH, 0]);
});

Deno.test("addresses of a device are numbered per family, in the kernel's order, without loopback addresses", () => {
  const at = (index: number, address: string, network: string) => ({
    index,
    address: addressOf(address),
    network: cidrOf(network),
  });
  const { keys, count, values } = addressEntries([
    at(1, "127.0.0.1", "127.0.0.0/8"),
    at(2, "203.0.113.5", "203.0.113.0/24"),
    at(2, "fd00::1", "fd00::/64"),
    at(2, "192.168.8.1", "192.168.8.0/24"),
    at(3, "10.0.0.1", "10.0.0.2/32"),
  ]);
  const found = Array.from({ length: count }, (_, index) => {
    const key = index * SIZE.device_address_key;
    const network = index * SIZE.device_address + OFFSET.device_address.network;
    return [
      keys.getUint32(key + OFFSET.device_address_key.device, true),
      keys.getUint16(key + OFFSET.device_address_key.family, true),
      keys.getUint16(key + OFFSET.device_address_key.position, true),
      values.getUint32(network + 12).toString(16),
    ];
  });
  assert.deepEqual(found, [
    [2, 2, 0, "cb007100"],
    [2, 10, 0, "0"],
    [2, 2, 1, "c0a80800"],
    [3, 2, 0, "a000002"],
  ]);
});
