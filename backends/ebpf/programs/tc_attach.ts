import { BpfLink } from "../../../ffi/bpf/link.ts";
import { BPF_TCX } from "../../../ffi/bpf/query.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { type Direction, DIRECTIONS, type Layer, type NetworkDevice } from "./network_device.ts";
import { attachPinned } from "./pinned_link.ts";
import type { Pins } from "./pins.ts";
import { TcFilters } from "./tc_filters.ts";

export type PacketProgram = `${Direction}_${Layer}`;

export const PACKET_PROGRAMS = [
  "ingress_l2",
  "ingress_l3",
  "egress_l2",
  "egress_l3",
] as const satisfies readonly PacketProgram[];

const ATTACH_TYPES: Readonly<Record<Direction, number>> = {
  ingress: BPF_TCX.INGRESS,
  egress: BPF_TCX.EGRESS,
};

/**
 * Reports whether the kernel has links to devices (tcx), by requesting one to a device that does not exist.
 */
export function hasDeviceLinks(program: BpfProgram): boolean {
  try {
    using _link = BpfLink.attach("of no device", program, NO_DEVICE, ATTACH_TYPES.ingress);
    return true;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    // A kernel with tcx answers ENODEV.
    return error.errnoName !== "EINVAL";
  }
}

/** Indexes of devices begin at 1. */
const NO_DEVICE = 0;

/**
 * Attaches the tc programs to devices: with pinned links (tcx) if the kernel has them, otherwise with filters
 * (clsact), which need no pins. Both stay attached without this process, and the next process replaces the
 * programs between two packets.
 */
export class TcAttachment {
  readonly #programs: ReadonlyMap<PacketProgram, BpfProgram>;
  readonly #pins: Pins;
  readonly #filters: TcFilters;
  readonly usesLinks: boolean;
  /** Indexes of devices that may have lost their filters. */
  readonly #lostFilters = new Set<number>();

  /** @param usesLinks result of `hasDeviceLinks`. */
  constructor(
    programs: ReadonlyMap<PacketProgram, BpfProgram>,
    pins: Pins,
    client: NetlinkClient,
    usesLinks: boolean,
  ) {
    this.#programs = programs;
    this.#pins = pins;
    this.#filters = new TcFilters(client);
    this.usesLinks = usesLinks;
  }

  /**
   * Attaches the programs of both directions to a device, or replaces those that are attached.
   * @throws KernelError with ENODEV if the device is gone.
   */
  async attach({ index, name, layer }: NetworkDevice): Promise<void> {
    if (layer === undefined) return;
    for (const direction of DIRECTIONS) {
      const program = this.#programs.get(`${direction}_${layer}`);
      if (program === undefined) throw new Error(`program ${direction}_${layer} is not loaded`);
      if (this.usesLinks) {
        attachPinned(program, {
          name: `${direction} of device ${name}`,
          target: index,
          attachType: ATTACH_TYPES[direction],
          path: this.#path(index, direction),
          isAttached: (link) => link.info().ifindex === index,
        });
      } else {
        await this.#filters.replace({ index, name }, direction, program);
      }
    }
    this.#lostFilters.delete(index);
  }

  /** Detaches the programs from a device. */
  async detach(index: number): Promise<void> {
    for (const direction of DIRECTIONS) {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      if (pinned !== undefined) Deno.removeSync(this.#path(index, direction));
    }
    if (!this.usesLinks) await this.#filters.remove(index);
    this.#lostFilters.delete(index);
  }

  /** Records that another program removed filters from a device, which may include ours. */
  noteLostFilters(index: number): void {
    this.#lostFilters.add(index);
  }

  /**
   * Reports whether both links exist and are attached to the device. Filters count as attached until they are
   * lost.
   */
  isAttached(index: number): boolean {
    if (!this.usesLinks) return !this.#lostFilters.has(index);
    return DIRECTIONS.every((direction) => {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      return pinned !== undefined && pinned.info().ifindex === index;
    });
  }

  /** Indexes of devices that a previous process may have attached the programs to. */
  attachedBefore(devices: readonly NetworkDevice[]): Iterable<number> {
    return this.usesLinks ? this.#pinnedIndexes() : devices.map(({ index }) => index);
  }

  /** Indexes of devices with a pinned link. A pin outlives its device. */
  *#pinnedIndexes(): Generator<number> {
    for (const { name } of Deno.readDirSync(this.#pins.link("."))) {
      const [, index] = /^ingress-(\d+)$/.exec(name) ?? [];
      if (index !== undefined) yield Number(index);
    }
  }

  #path(index: number, direction: Direction): string {
    return this.#pins.link(`${direction}-${index}`);
  }
}
