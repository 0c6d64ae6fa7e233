import { BpfMap } from "../../../ffi/bpf/map.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { type KernelMaps, MAP_NAMES } from "../maps/kernel_maps.ts";
import type { EbpfOptions } from "../options.ts";
import { attachToCgroup, programsDetachedFrom, SOCKET_PROGRAMS, type SocketProgram } from "./cgroup_links.ts";
import { Devices, type DeviceSelection } from "./devices.ts";
import { loadPacketPrograms, loadPinned } from "./objects.ts";
import type { Pins } from "./pins.ts";
import { hasDeviceLinks, PACKET_PROGRAMS, type PacketProgram, TcAttachment } from "./tc_attach.ts";

/**
 * The data path in the kernel: pinned maps, which may be from a previous process, and programs of this
 * process.
 */
export class Datapath implements Disposable {
  readonly maps: KernelMaps;
  /** Reports whether the maps are from a previous process. */
  readonly isTakenOver: boolean;
  readonly #pins: Pins;
  readonly #cgroup: string;
  readonly #owned: DisposableStack;
  readonly #programs: ReadonlyMap<SocketProgram, BpfProgram>;
  readonly #devices: Devices;

  private constructor(
    pins: Pins,
    cgroup: string,
    isTakenOver: boolean,
    parts: {
      readonly maps: KernelMaps;
      readonly programs: ReadonlyMap<SocketProgram, BpfProgram>;
      readonly devices: Devices;
      readonly owned: DisposableStack;
    },
  ) {
    this.#pins = pins;
    this.#cgroup = cgroup;
    this.isTakenOver = isTakenOver;
    this.maps = parts.maps;
    this.#programs = parts.programs;
    this.#devices = parts.devices;
    this.#owned = parts.owned;
  }

  /**
   * Loads the programs with the pinned maps. Nothing is attached until `attach`.
   * @param report receives problems with devices that occur later.
   * @throws KernelError
   */
  static open(options: EbpfOptions, cgroup: string, pins: Pins, report: (what: string) => void): Datapath {
    const isTakenOver = pins.exists;
    pins.make();
    using stack = new DisposableStack();
    const socketPrograms = new Map<SocketProgram, BpfProgram>();
    {
      using object = loadPinned(pins, options.capacity, "sock");
      for (const name of SOCKET_PROGRAMS) socketPrograms.set(name, stack.use(object.program(name)));
    }
    const packetPrograms = new Map<PacketProgram, BpfProgram>();
    {
      using object = loadPacketPrograms(pins, options.capacity);
      for (const name of PACKET_PROGRAMS) packetPrograms.set(name, stack.use(object.program(name)));
    }
    const maps = openMaps(pins, stack);
    const attachment = new TcAttachment(
      packetPrograms,
      pins,
      stack.use(NetlinkClient.open(NETLINK_ROUTE)),
      [...packetPrograms.values()].some(hasDeviceLinks),
    );
    const devices = stack.use(
      new Devices(
        attachment,
        stack.use(pins.openMap("devices")),
        NetlinkClient.open(NETLINK_ROUTE),
        report,
      ),
    );
    return new Datapath(pins, cgroup, isTakenOver, {
      maps,
      programs: socketPrograms,
      devices,
      owned: stack.move(),
    });
  }

  /**
   * Reports whether all maps are still pinned. Links are not checked, because `attach` restores each of them.
   */
  get isComplete(): boolean {
    return this.#pins.hasLinkDirectory && MAP_NAMES.every((name) => {
      using map = BpfMap.pinned(name, this.#pins.map(name));
      return map !== undefined;
    });
  }

  /** Attaches all programs, and returns descriptions of what was not attached. */
  async attach(selection: DeviceSelection): Promise<readonly string[]> {
    const deviceDifferences = await this.#devices.follow(selection);
    return [...attachToCgroup(this.#programs, this.#cgroup, this.#pins), ...deviceDifferences];
  }

  /** Describes programs that are not attached any more; "" if there are none. */
  describeDetached(): string {
    const programs = programsDetachedFrom(this.#cgroup, this.#pins);
    if (programs.length > 0) {
      return `programs ${programs.join(", ")} are not attached to cgroup ${this.#cgroup}`;
    }
    const devices = this.#devices.detached();
    return devices.length === 0 ? "" : `programs are not attached to device ${devices.join(", ")}`;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

/** @param stack closes the maps. */
export function openMaps(pins: Pins, stack: DisposableStack): KernelMaps {
  const open = (name: typeof MAP_NAMES[number]) => stack.use(pins.openMap(name));
  return {
    services: open("services"),
    endpoints: stack.use(open("endpoints").mapped()).view,
    identity: stack.use(open("identity").mapped()).view,
    owners: open("owners"),
    node_addresses: open("node_addresses"),
    source_ranges: open("source_ranges"),
    service_cidrs: open("service_cidrs"),
    counters: open("counters"),
    drops: open("drops"),
    node_settings: open("node_settings"),
  };
}
