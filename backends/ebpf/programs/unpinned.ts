import { BPF_TCX, countPrograms, hasLinks } from "../../../ffi/bpf/query.ts";
import { effectiveCapabilities } from "../../../ffi/system/capabilities.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { writeDumpLinks } from "../../../ffi/netlink/rtnetlink/link.ts";
import { namespaceCookie } from "../../../ffi/system/network_namespaces.ts";
import { SIZE } from "../maps/layout.ts";
import type { HANDED_OVER_MAPS, HandedOverMaps } from "../netfilter/hand_over.ts";
import { ProgramsInKernel } from "./in_kernel.ts";
import { decodeDevice } from "./network_device.ts";

/** The number of our attached programs, whether or not their pins are in reach; 0 without CAP_SYS_ADMIN. */
export function unpinnedPrograms(): number {
  let count = 0;
  for (const link of inKernel()?.links() ?? []) {
    using _link = link;
    count++;
  }
  return count;
}

/** Maps of our programs whose pins are not in reach, of every version; none without CAP_SYS_ADMIN. */
export function* unpinnedMaps(names: typeof HANDED_OVER_MAPS): Generator<HandedOverMaps> {
  for (const maps of inKernel()?.maps(names) ?? []) {
    const { node_settings, ...flows } = maps;
    const isThisLayout = node_settings.shape.valueSize === SIZE.settings &&
      Object.values(flows).every(({ shape }) =>
        shape.keySize === SIZE.tuple && shape.valueSize === SIZE.flow
      );
    yield { maps, isThisLayout };
  }
}

/**
 * Detaches our programs that are still attached after the pins in reach are gone.
 * @param hadPins there were pins in reach, so that the programs are those of these pins.
 * @returns what to do if this process cannot find out whether there are any; otherwise "".
 * @throws KernelError
 */
export async function detachUnpinned(client: NetlinkClient, hadPins: boolean): Promise<string> {
  for (const link of inKernel()?.links() ?? []) {
    using _link = link;
    link.detach();
  }
  const devices = hadPins || mayAsk() ? [] : await devicesWithPrograms(client);
  if (devices.length === 0) return "";
  return `BPF programs are attached to device ${
    devices.join(", ")
  }, and telling whose they are takes CAP_SYS_ADMIN. ` +
    "If mode ebpf ran on this node, its programs go on balancing with the endpoints that they had: run " +
    "proxy --cleanup with CAP_SYS_ADMIN, or with the node's BPF file system (docs/ebpf.md#from-another-mode-and-back)";
}

/** @returns undefined if no program is attached by a link, or the kernel does not say. */
function inKernel(): ProgramsInKernel | undefined {
  return mayAsk() && hasLinks() ? new ProgramsInKernel(namespaceCookie()) : undefined;
}

function mayAsk(): boolean {
  return effectiveCapabilities()?.has("CAP_SYS_ADMIN") === true;
}

/** Names of devices that have programs attached by links. Those of filters are removed by TcFilters. */
async function devicesWithPrograms(client: NetlinkClient): Promise<readonly string[]> {
  const answers = await client.dump("list network devices", writeDumpLinks);
  return answers.map(({ payload }) => decodeDevice(payload))
    .filter((device) => device !== undefined && countPrograms(device.index, BPF_TCX.INGRESS) > 0)
    .map((device) => device!.name)
    .toSorted();
}
