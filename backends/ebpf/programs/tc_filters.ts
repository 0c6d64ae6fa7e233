import { KernelError } from "../../../ffi/errors.ts";
import { dump, request } from "../../../ffi/netlink/request.ts";
import type { NetlinkTransport } from "../../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import {
  type Direction,
  directions,
  linkOf,
  writeDeleteFilter,
  writeDumpLinks,
  writeNewClsact,
  writeReplaceFilter,
} from "./device_messages.ts";

/** Programs on devices of kernels before Linux 6.6: filters that nobody pins, and that stay with the device. */
export class Filters {
  readonly #transport: NetlinkTransport;
  // As `tc` writes them: it is older than the flag of nests.
  readonly #writer = new MessageWriter(REQUEST_BYTES, { flagsNests: false });
  #seq = 1;

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /** Adds a program to a device, or puts it in the place of our one that is there. */
  async replace(
    device: { readonly index: number; readonly name: string },
    direction: Direction,
    program: { readonly fd: number; readonly name: string },
  ): Promise<void> {
    await this.#request(
      `add clsact to ${device.name}`,
      (seq) => writeNewClsact(this.#writer, seq, device.index),
      ["EEXIST"],
    );
    const filter = { index: device.index, direction, fd: program.fd, name: program.name };
    await this.#request(
      `add filter ${program.name} to ${device.name}`,
      (seq) => writeReplaceFilter(this.#writer, seq, filter),
    );
  }

  /** Takes ours off a device. The qdisc stays: others may use it. */
  async remove(index: number): Promise<void> {
    for (const direction of directions) {
      await this.#request(
        `remove the filter of device ${index}`,
        (seq) => writeDeleteFilter(this.#writer, seq, index, direction),
        nothingThere,
      );
    }
  }

  /** Takes ours off all devices. */
  async removeAll(): Promise<void> {
    this.#writer.reset();
    writeDumpLinks(this.#writer, this.#seq++);
    const answers = await dump(this.#transport, this.#writer, "list network devices");
    for (const { payload } of answers) await this.remove(linkOf(payload).index);
  }

  async #request(
    operation: string,
    write: (seq: number) => void,
    harmless: readonly string[] = [],
  ): Promise<void> {
    this.#writer.reset();
    write(this.#seq++);
    try {
      await request(this.#transport, this.#writer, operation);
    } catch (error) {
      if (!(error instanceof KernelError) || !harmless.includes(error.errnoName)) throw error;
    }
  }
}

/** No filter, no chain of filters, no qdisc, no device. */
const nothingThere = ["ENOENT", "EINVAL", "ENODEV"];

/** More than any request is long. */
const REQUEST_BYTES = 256;
