import { BpfLink } from "../../ffi/bpf/link.ts";
import type { BpfProgram } from "../../ffi/bpf/program.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { request } from "../../ffi/netlink/request.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { Pins } from "./bpffs.ts";
import {
  type Direction,
  type Framing,
  type Link,
  writeDeleteFilter,
  writeNewClsact,
  writeReplaceFilter,
} from "./device_messages.ts";

export type PacketProgram = `${Direction}_${Framing}`;

export const packetPrograms: readonly PacketProgram[] = [
  "arrive_ethernet",
  "arrive_bare",
  "leave_ethernet",
  "leave_bare",
];

const directions: readonly Direction[] = ["arrive", "leave"];

/** enum bpf_attach_type, linux/bpf.h, since Linux 6.6 */
const attachTypes: Readonly<Record<Direction, number>> = { arrive: 46, leave: 47 }; // BPF_TCX_INGRESS, BPF_TCX_EGRESS

/**
 * Puts the programs of packets on devices: as links where the kernel has them (tcx), which are pinned, else as filters
 * of the device (clsact), which stay as they are. Either way they go on without this process, and are replaced by the
 * next one's between two packets.
 */
export class Attachment {
  readonly #programs: ReadonlyMap<PacketProgram, BpfProgram>;
  readonly #pins: Pins;
  readonly #transport: NetlinkTransport;
  readonly #writer = new MessageWriter(REQUEST_BYTES, { flagsNests: false });
  #hasLinks: boolean;
  #seq = 1;

  /** @param hasLinks false tries no tcx: for tests of the other way. */
  constructor(
    programs: ReadonlyMap<PacketProgram, BpfProgram>,
    pins: Pins,
    transport: NetlinkTransport,
    hasLinks = true,
  ) {
    this.#programs = programs;
    this.#pins = pins;
    this.#transport = transport;
    this.#hasLinks = hasLinks;
  }

  /**
   * Attaches both programs to a device, or puts them in the place of those that are there.
   * @throws KernelError, ENODEV when it has gone meanwhile.
   */
  async attach({ index, name, framing }: Link): Promise<void> {
    if (framing === undefined) return;
    for (const direction of directions) {
      const program = this.#programs.get(`${direction}_${framing}`);
      if (program === undefined) throw new Error(`program ${direction}_${framing} is not loaded`);
      if (this.#hasLinks && this.#link(index, name, direction, program)) continue;
      await this.#filter(index, name, direction, program);
    }
  }

  /** Takes the programs off a device. */
  async detach(index: number): Promise<void> {
    for (const direction of directions) {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      if (pinned !== undefined) Deno.removeSync(this.#path(index, direction));
      else if (!this.#hasLinks) await this.#removeFilter(index, direction);
    }
  }

  /** Devices that have a pinned link, there or gone: a pin outlives its device. */
  *pinned(): Generator<number> {
    for (const { name } of Deno.readDirSync(this.#pins.link("."))) {
      const [, index] = /^arrive-(\d+)$/.exec(name) ?? [];
      if (index !== undefined) yield Number(index);
    }
  }

  /** Whether both links are there and the device has them. Filters are not looked at. */
  isAttached(index: number): boolean {
    if (!this.#hasLinks) return true;
    return directions.every((direction) => {
      using pinned = BpfLink.pinned(direction, this.#path(index, direction));
      return pinned !== undefined && pinned.info().ifindex === index;
    });
  }

  /** False when the kernel has no such links. */
  #link(index: number, name: string, direction: Direction, program: BpfProgram): boolean {
    const path = this.#path(index, direction);
    using pinned = BpfLink.pinned(`${direction} on ${name}`, path);
    if (pinned !== undefined && pinned.info().ifindex === index) {
      pinned.update(program);
      return true;
    }
    try {
      using link = BpfLink.attach(`${direction} on ${name}`, program, index, attachTypes[direction]);
      if (pinned !== undefined) Deno.removeSync(path);
      link.pin(path);
      return true;
    } catch (error) {
      if (!(error instanceof KernelError) || error.errnoName !== "EINVAL") throw error;
      this.#hasLinks = false;
      return false;
    }
  }

  async #filter(index: number, name: string, direction: Direction, program: BpfProgram): Promise<void> {
    this.#writer.reset();
    writeNewClsact(this.#writer, this.#seq++, index);
    await this.#request(`add clsact to ${name}`, "EEXIST");
    this.#writer.reset();
    writeReplaceFilter(this.#writer, this.#seq++, { index, direction, fd: program.fd, name: program.name });
    await this.#request(`add filter ${program.name} to ${name}`);
  }

  async #removeFilter(index: number, direction: Direction): Promise<void> {
    this.#writer.reset();
    writeDeleteFilter(this.#writer, this.#seq++, index, direction);
    await this.#request(
      `remove the filter of ${direction} from device ${index}`,
      "ENOENT",
      "ENODEV",
      "EINVAL",
    );
  }

  /** @param harmless errors that mean there is nothing to do. */
  async #request(operation: string, ...harmless: readonly string[]): Promise<void> {
    try {
      await request(this.#transport, this.#writer, operation);
    } catch (error) {
      if (!(error instanceof KernelError) || !harmless.some((name) => error.errno === errnoOf(name))) {
        throw error;
      }
    }
  }

  #path(index: number, direction: Direction): string {
    return this.#pins.link(`${direction}-${index}`);
  }
}

/** More than any request is long. */
const REQUEST_BYTES = 256;
