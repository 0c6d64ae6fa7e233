import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import {
  type Direction,
  directions,
  linkOf,
  writeDeleteFilter,
  writeDumpLinks,
  writeNewClsact,
  writeReplaceFilter,
} from "./device_messages.ts";

/** Programs on devices of kernels before Linux 6.6: filters without pins, which stay with the device. */
export class Filters {
  readonly #client: NetlinkClient;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  /** Adds a program to a device, or replaces ours if there is one. */
  async replace(
    device: { readonly index: number; readonly name: string },
    direction: Direction,
    program: { readonly fd: number; readonly name: string },
  ): Promise<void> {
    await this.#client.request(
      `add clsact to ${device.name}`,
      (message, seq) => writeNewClsact(message, seq, device.index),
      { ignore: ["EEXIST"] },
    );
    const filter = { index: device.index, direction, fd: program.fd, name: program.name };
    await this.#client.request(
      `add filter ${program.name} to ${device.name}`,
      (message, seq) => writeReplaceFilter(message, seq, filter),
    );
  }

  /** Takes our filters off a device. The qdisc stays, because others may use it. */
  async remove(index: number): Promise<void> {
    for (const direction of directions) {
      await this.#client.request(
        `remove the filter of device ${index}`,
        (message, seq) => writeDeleteFilter(message, seq, index, direction),
        { ignore: MISSING },
      );
    }
  }

  /** Takes our filters off all devices. */
  async removeAll(): Promise<void> {
    const answers = await this.#client.dump("list network devices", writeDumpLinks);
    for (const { payload } of answers) await this.remove(linkOf(payload).index);
  }
}

/** No filter, no chain of filters, no qdisc, no device. */
const MISSING = ["ENOENT", "EINVAL", "ENODEV"];
