import { BpfMap, type MappedValues } from "../../../ffi/bpf/map.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { Attachment, hasDeviceLinks, type PacketProgram, packetPrograms } from "./tc_attach.ts";
import type { Pins } from "./pins.ts";
import { type DeviceChoice, Devices } from "./devices.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { loadOver, pinnedMap } from "./objects.ts";
import type { EbpfOptions } from "../options.ts";
import { attachToCgroup, detached, type SocketProgram, socketPrograms } from "./cgroup_links.ts";

const mapNames = [
  "services",
  "node_addresses",
  "source_ranges",
  "service_cidrs",
  "counters",
  "drops",
  "node_settings",
] as const;

/** The maps and programs of this process in the kernel; maps are those that are pinned, programs are its own. */
export class Kernel implements Disposable {
  readonly maps: KernelMaps;
  /** Whether maps of a process before this one were found. */
  readonly tookOver: boolean;
  readonly #pins: Pins;
  readonly #cgroup: string;
  readonly #owned: DisposableStack;
  readonly #programs: ReadonlyMap<SocketProgram, BpfProgram>;
  readonly #devices: Devices;

  private constructor(
    pins: Pins,
    cgroup: string,
    tookOver: boolean,
    parts: {
      readonly maps: KernelMaps;
      readonly programs: ReadonlyMap<SocketProgram, BpfProgram>;
      readonly devices: Devices;
      readonly owned: DisposableStack;
    },
  ) {
    this.#pins = pins;
    this.#cgroup = cgroup;
    this.tookOver = tookOver;
    this.maps = parts.maps;
    this.#programs = parts.programs;
    this.#devices = parts.devices;
    this.#owned = parts.owned;
  }

  /**
   * Loads the programs over the maps that are pinned. Nothing is attached yet.
   * @param report of what goes wrong when devices appear later, and of what they lose.
   * @throws KernelError
   */
  static open(options: EbpfOptions, cgroup: string, pins: Pins, report: (what: string) => void): Kernel {
    const tookOver = pins.exists;
    pins.make();
    using stack = new DisposableStack();
    const programs = new Map<SocketProgram, BpfProgram>();
    {
      using object = loadOver(pins, options.capacity, "sock");
      for (const name of socketPrograms) programs.set(name, stack.use(object.program(name)));
    }
    const ofPackets = new Map<PacketProgram, BpfProgram>();
    {
      using object = loadOver(pins, options.capacity, "tc");
      for (const name of packetPrograms) ofPackets.set(name, stack.use(object.program(name)));
    }
    const maps = openMaps(pins, stack);
    const attachment = new Attachment(
      ofPackets,
      pins,
      stack.use(NetlinkClient.open(NETLINK_ROUTE)),
      [...ofPackets.values()].some(hasDeviceLinks),
    );
    const devices = stack.use(
      new Devices(
        attachment,
        stack.use(pinnedMap(pins, "devices")),
        NetlinkClient.open(NETLINK_ROUTE),
        report,
      ),
    );
    return new Kernel(pins, cgroup, tookOver, { maps, programs, devices, owned: stack.move() });
  }

  /** Whether what is pinned is still what was opened. Links are not looked at: they are put back one by one. */
  get isWhole(): boolean {
    return this.#pins.takesLinks && [...mapNames, "endpoints"].every((name) => {
      using map = BpfMap.pinned(name, this.#pins.map(name));
      return map !== undefined;
    });
  }

  /** Puts the programs in force; returns what was not attached, in words. */
  async attach(choice: DeviceChoice): Promise<readonly string[]> {
    const toDevices = await this.#devices.follow(choice);
    return [...attachToCgroup(this.#programs, this.#cgroup, this.#pins), ...toDevices];
  }

  /** What is not attached any more, in words; "" for nothing. */
  missing(): string {
    const names = detached(this.#cgroup, this.#pins);
    if (names.length > 0) return `programs ${names.join(", ")} are not attached to ${this.#cgroup}`;
    const devices = this.#devices.missing();
    return devices.length === 0 ? "" : `the programs are not attached to ${devices.join(", ")}`;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

function openMaps(pins: Pins, stack: DisposableStack): KernelMaps {
  const open = (name: string) => stack.use(pinnedMap(pins, name));
  const endpoints: MappedValues = stack.use(open("endpoints").mapped());
  return {
    services: open("services"),
    endpoints: endpoints.view,
    node_addresses: open("node_addresses"),
    source_ranges: open("source_ranges"),
    service_cidrs: open("service_cidrs"),
    counters: open("counters"),
    drops: open("drops"),
    node_settings: open("node_settings"),
  };
}
