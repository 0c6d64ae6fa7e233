import { BpfMap } from "../../../ffi/bpf/map.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { type KernelMaps, MAP_NAMES, openKernelMaps } from "../maps/kernel_maps.ts";
import { changePorts } from "../maps/node_settings.ts";
import { type PortRange, readSourcePorts } from "../maps/source_ports.ts";
import type { EbpfOptions } from "../options.ts";
import { attachToCgroup, programsDetachedFrom, SOCKET_PROGRAMS, type SocketProgram } from "./cgroup_links.ts";
import { Devices, type DeviceSelection } from "./devices.ts";
import { CarryOver } from "./carry_over.ts";
import { PeerDevices } from "./peer_devices.ts";
import { loadPacketPrograms, loadPinned, type PrepareMap } from "./objects.ts";
import type { Pins } from "./pins.ts";
import { hasDeviceLinks, PACKET_PROGRAMS, type PacketProgram, TcAttachment } from "./tc_attach.ts";

/**
 * The data path in the kernel: pinned maps, which may be from a previous process, and programs of this
 * process.
 */
export class Datapath implements Disposable {
  readonly maps: KernelMaps;
  /** Reports whether programs of a previous process are attached. */
  readonly isTakenOver: boolean;
  readonly #waitForPrograms: () => void;
  /** Undefined once it is done. */
  #carryOver: CarryOver | undefined;
  /** Programs of another version stay attached to devices beside ours. */
  readonly #usesLinks: boolean;
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
      readonly carryOver: CarryOver;
      readonly usesLinks: boolean;
      readonly waitForPrograms: () => void;
      readonly owned: DisposableStack;
    },
  ) {
    this.#pins = pins;
    this.#cgroup = cgroup;
    this.isTakenOver = isTakenOver;
    this.maps = parts.maps;
    this.#programs = parts.programs;
    this.#devices = parts.devices;
    this.#carryOver = parts.carryOver;
    this.#usesLinks = parts.usesLinks;
    this.#waitForPrograms = parts.waitForPrograms;
    this.#owned = parts.owned;
  }

  /**
   * Loads the programs with the pinned maps. Nothing is attached until `attach`.
   * @param waitForPrograms returns when every run of a program that had begun is over.
   * @param report receives problems with devices that occur later.
   * @throws KernelError
   */
  static open(
    options: EbpfOptions,
    cgroup: string,
    pins: Pins,
    waitForPrograms: () => void,
    report: (what: string) => void,
  ): Datapath {
    const isTakenOver = pins.exists;
    pins.make();
    using stack = new DisposableStack();
    const carryOver = stack.use(new CarryOver(pins));
    const prepare: PrepareMap = (object, map) => carryOver.prepare(object, map);
    const socketPrograms = new Map<SocketProgram, BpfProgram>();
    {
      using object = loadPinned(pins, options.capacity, "sock", prepare);
      for (const name of SOCKET_PROGRAMS) socketPrograms.set(name, stack.use(object.program(name)));
    }
    const packetPrograms = new Map<PacketProgram, BpfProgram>();
    {
      using object = loadPacketPrograms(pins, options.capacity, prepare);
      for (const name of PACKET_PROGRAMS) packetPrograms.set(name, stack.use(object.program(name)));
    }
    carryOver.copyFirst();
    const maps = openMaps(pins, stack);
    const attachment = new TcAttachment(
      packetPrograms,
      pins,
      stack.use(NetlinkClient.open(NETLINK_ROUTE)),
      [...packetPrograms.values()].some(hasDeviceLinks),
    );
    const peers = options.redirectPeer
      ? stack.use(new PeerDevices(stack.use(NetlinkClient.open(NETLINK_ROUTE)), attachment.usesLinks))
      : undefined;
    const devices = stack.use(
      new Devices(
        attachment,
        {
          devices: stack.use(pins.openMap("devices")),
          device_addresses: stack.use(pins.openMap("device_addresses")),
        },
        peers,
        NetlinkClient.open(NETLINK_ROUTE),
        report,
      ),
    );
    // Without links, the programs of another version are replaced one device after the other.
    const isReplaced = !attachment.usesLinks && pins.others().length > 0;
    return new Datapath(pins, cgroup, isTakenOver || isReplaced, {
      usesLinks: attachment.usesLinks,
      maps,
      programs: socketPrograms,
      devices,
      carryOver,
      waitForPrograms,
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

  /** Number of devices whose packets go to the other side of a veth pair at once. */
  get peerCount(): number {
    return this.#devices.peerCount;
  }

  /** The source ports of new flows: half of them while programs of another version begin flows, too. */
  get sourcePorts(): readonly PortRange[] {
    return this.#carryOver?.sourcePorts ?? readSourcePorts();
  }

  /**
   * Attaches all programs. Those of another version stay attached to devices until `replaceOthers`.
   * @returns descriptions of what was not attached.
   */
  async attach(selection: DeviceSelection): Promise<readonly string[]> {
    this.#carryOver?.copy(this.#waitForPrograms);
    this.#pins.adoptCgroupLinks();
    const deviceDifferences = await this.#devices.follow(selection);
    return [...attachToCgroup(this.#programs, this.#cgroup, this.#pins), ...deviceDifferences];
  }

  /**
   * Detaches programs of other versions, when those of this one are attached and begin flows. What the others remember is
   * carried over before.
   * @returns descriptions of what could not be carried over.
   */
  replaceOthers(): readonly string[] {
    const carryOver = this.#carryOver;
    carryOver?.finish(this.#waitForPrograms, this.#usesLinks ? "old programs" : "both");
    this.#carryOver = undefined;
    // Only a carry-over takes ports away: later reconciles write all of them with the other settings.
    if (carryOver !== undefined) changePorts(this.maps.node_settings, readSourcePorts());
    this.#pins.removeOthers();
    return carryOver?.warnings ?? [];
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
  return openKernelMaps((name) => stack.use(pins.openMap(name)), stack);
}
