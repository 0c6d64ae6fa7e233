import { BpfLink } from "../../../ffi/bpf/link.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import type { Pins } from "./pins.ts";
import { type Direction, directions, type Layer, type NetworkDevice } from "./network_device.ts";
import { Filters } from "./tc_filters.ts";

export type PacketProgram = `${Direction}_${Layer}`;

export const packetPrograms = [
  "ingress_l2",
  "ingress_l3",
  "egress_l2",
  "egress_l3",
] as const satisfies readonly PacketProgram[];

/** enum bpf_attach_type, linux/bpf.h, since Linux 6.6 */
const attachTypes: Readonly<Record<Direction, number>> = { ingress: 46, egress: 47 }; // BPF_TCX_*

/** Whether the kernel has links of programs to devices (tcx): it is asked for one to a device that there never is. */
export function hasDeviceLinks(program: BpfProgram): boolean {
  try {
    using _link = BpfLink.attach("on no device", program, NO_DEVICE, attachTypes.ingress);
    return true;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    // Else ENODEV.
    return error.errnoName !== "EINVAL";
  }
}

/** Indexes begin at 1. */
const NO_DEVICE = 0;

/**
 * Puts the programs of packets on devices: as links where the kernel has them (tcx), which are pinned, else as filters
 * of the device (clsact), which stay as they are. Either way they go on without this process, and are replaced by the
 * next one's between two packets.
 */
export class Attachment {
  readonly #programs: ReadonlyMap<PacketProgram, BpfProgram>;
  readonly #pins: Pins;
  readonly #filters: Filters;
  readonly hasLinks: boolean;
  /** Devices that may have no filters any more, by index. */
  readonly #withoutFilters = new Set<number>();

  /** @param hasLinks what `hasDeviceLinks` says. */
  constructor(
    programs: ReadonlyMap<PacketProgram, BpfProgram>,
    pins: Pins,
    client: NetlinkClient,
    hasLinks: boolean,
  ) {
    this.#programs = programs;
    this.#pins = pins;
    this.#filters = new Filters(client);
    this.hasLinks = hasLinks;
  }

  /**
   * Attaches both programs to a device, or puts them in the place of those that are there.
   * @throws KernelError, ENODEV when it has gone meanwhile.
   */
  async attach({ index, name, layer }: NetworkDevice): Promise<void> {
    if (layer === undefined) return;
    for (const direction of directions) {
      const program = this.#programs.get(`${direction}_${layer}`);
      if (program === undefined) throw new Error(`program ${direction}_${layer} is not loaded`);
      if (this.hasLinks) this.#link(index, name, direction, program);
      else await this.#filters.replace({ index, name }, direction, program);
    }
    this.#withoutFilters.delete(index);
  }

  /** Takes the programs off a device. */
  async detach(index: number): Promise<void> {
    for (const direction of directions) {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      if (pinned !== undefined) Deno.removeSync(this.#path(index, direction));
    }
    if (!this.hasLinks) await this.#filters.remove(index);
    this.#withoutFilters.delete(index);
  }

  /** Notes that somebody took filters off a device, ours or others. */
  losesFilters(index: number): void {
    this.#withoutFilters.add(index);
  }

  /** Devices that a process before this one may have attached the programs to, by index. */
  leftOn(devices: readonly NetworkDevice[]): Iterable<number> {
    return this.hasLinks ? this.#pinned() : devices.map(({ index }) => index);
  }

  /** Devices that have a pinned link, there or gone: a pin outlives its device. */
  *#pinned(): Generator<number> {
    for (const { name } of Deno.readDirSync(this.#pins.link("."))) {
      const [, index] = /^ingress-(\d+)$/.exec(name) ?? [];
      if (index !== undefined) yield Number(index);
    }
  }

  /** Whether both links are there and the device has them. Filters are, unless the kernel told that they went. */
  isAttached(index: number): boolean {
    if (!this.hasLinks) return !this.#withoutFilters.has(index);
    return directions.every((direction) => {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      return pinned !== undefined && pinned.info().ifindex === index;
    });
  }

  #link(index: number, name: string, direction: Direction, program: BpfProgram): void {
    const path = this.#path(index, direction);
    using pinned = BpfLink.pinned(`${direction} on ${name}`, path);
    if (pinned !== undefined && pinned.info().ifindex === index) {
      pinned.update(program);
      return;
    }
    using link = BpfLink.attach(`${direction} on ${name}`, program, index, attachTypes[direction]);
    if (pinned !== undefined) Deno.removeSync(path);
    link.pin(path);
  }

  #path(index: number, direction: Direction): string {
    return this.#pins.link(`${direction}-${index}`);
  }
}
