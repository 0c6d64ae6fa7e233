import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from "../../../ffi/netlink/rtnetlink/constants.ts";
import { decodeLink, writeDumpLinks } from "../../../ffi/netlink/rtnetlink/link.ts";
import {
  type FilterId,
  priorityOfFilter,
  writeDeleteBpfFilter,
  writeDumpFilters,
  writeNewClsact,
  writeReplaceBpfFilter,
} from "../../../ffi/netlink/rtnetlink/tc.ts";
import { type Direction, DIRECTIONS } from "./network_device.ts";

/**
 * Attaches programs to devices with tc filters, for kernels before Linux 6.6. Filters need no pins: they stay
 * with the device.
 */
export class TcFilters {
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
    await this.#client.request(
      `add filter ${program.name} to ${device.name}`,
      (message, seq) => writeReplaceBpfFilter(message, seq, filterId(device.index, direction), program),
    );
  }

  /** Takes our filters off a device. The qdisc stays, because others may use it. */
  async remove(index: number): Promise<void> {
    for (const direction of DIRECTIONS) {
      await this.#client.request(
        `remove the filter of device ${index}`,
        (message, seq) => writeDeleteBpfFilter(message, seq, filterId(index, direction)),
        { ignore: MISSING },
      );
    }
  }

  /** Reports whether a device with the qdisc clsact has filters of others for packets that leave. */
  async hasForeignEgress(index: number): Promise<boolean> {
    const filters = await this.#client.dump(
      `list the filters of device ${index}`,
      (message, seq) => writeDumpFilters(message, seq, index, TC_H_CLSACT_EGRESS),
    );
    return filters.some(({ payload }) => priorityOfFilter(payload) !== PRIORITY);
  }

  /** Takes our filters off all devices. */
  async removeAll(): Promise<void> {
    const answers = await this.#client.dump("list network devices", writeDumpLinks);
    for (const { payload } of answers) await this.remove(decodeLink(payload).index);
  }
}

/** No filter, no chain of filters, no qdisc, no device; a kernel without filters (CONFIG_NET_CLS). */
const MISSING = ["ENOENT", "EINVAL", "ENODEV", "EOPNOTSUPP"];

const PARENTS: Readonly<Record<Direction, number>> = {
  ingress: TC_H_CLSACT_INGRESS,
  egress: TC_H_CLSACT_EGRESS,
};

const HANDLE = 1;
/** Order among the filters of a device. Also identifies our filters, so it is an unusual number. */
const PRIORITY = 0x7078;

function filterId(index: number, direction: Direction): FilterId {
  return { index, parent: PARENTS[direction], priority: PRIORITY, handle: HANDLE };
}
