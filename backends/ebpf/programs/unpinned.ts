import { BPF_TCX, hasPrograms } from "../../../ffi/bpf/query.ts";
import type { BpfMap } from "../../../ffi/bpf/map.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { LibraryError } from "../../../ffi/library.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { writeDumpLinks } from "../../../ffi/netlink/rtnetlink/link.ts";
import { namespaceCookie } from "../../../ffi/network_namespaces.ts";
import { SIZE } from "../maps/layout.ts";
import { ProgramsInKernel } from "./in_kernel.ts";
import { decodeDevice } from "./network_device.ts";

/** The number of our attached programs, whether or not their pins are in reach; 0 if the kernel does not say. */
export function unpinnedPrograms(): number {
  return ask(() => {
    let count = 0;
    for (const link of inKernel().links()) {
      using _link = link;
      count++;
    }
    return count;
  }, 0);
}

/** Maps of our programs whose pins are not in reach, in the present layout; none if the kernel does not say. */
export function* unpinnedMaps(
  names: readonly ["node_settings", "conntrack"],
): Generator<Readonly<Record<typeof names[number], BpfMap>>> {
  const programs = ask<ProgramsInKernel | undefined>(inKernel, undefined);
  for (const maps of programs?.maps(names) ?? []) {
    const { node_settings, conntrack } = maps;
    const isPresentLayout = node_settings.shape.valueSize === SIZE.settings &&
      conntrack.shape.keySize === SIZE.tuple && conntrack.shape.valueSize === SIZE.flow;
    if (isPresentLayout) yield maps;
  }
}

/**
 * Detaches our programs that are still attached after the pins in reach are gone.
 * @param hadPins there were pins in reach, so that the programs are those of these pins.
 * @returns what to do if this process cannot find out whether there are any; otherwise "".
 * @throws KernelError
 */
export async function detachUnpinned(client: NetlinkClient, hadPins: boolean): Promise<string> {
  try {
    for (const link of inKernel().links()) {
      using _link = link;
      link.detach();
    }
    return "";
  } catch (error) {
    if (!isUnknown(error)) throw error;
  }
  const devices = hadPins ? [] : await devicesWithPrograms(client);
  if (devices.length === 0) return "";
  return `BPF programs are attached to device ${
    devices.join(", ")
  }, and telling whose they are takes CAP_SYS_ADMIN. ` +
    "If mode ebpf ran on this node, its programs go on balancing with the endpoints that they had: run " +
    "proxy --cleanup with CAP_SYS_ADMIN, or with the node's BPF file system (docs/ebpf.md#from-another-mode-and-back)";
}

function inKernel(): ProgramsInKernel {
  return new ProgramsInKernel(namespaceCookie());
}

/** Names of devices that have programs attached by links. Those of filters are removed by TcFilters. */
async function devicesWithPrograms(client: NetlinkClient): Promise<readonly string[]> {
  const answers = await client.dump("list network devices", writeDumpLinks);
  const devices = answers.map(({ payload }) => decodeDevice(payload)).filter((device) =>
    device !== undefined
  );
  return devices.filter(({ index }) => ask(() => hasPrograms(index, BPF_TCX.INGRESS), false))
    .map(({ name }) => name)
    .toSorted();
}

/** Asks the kernel about programs. @returns `unknown` if it does not say, or if there can be no programs. */
function ask<Answer>(question: () => Answer, unknown: Answer): Answer {
  try {
    return question();
  } catch (error) {
    if (isUnknown(error)) return unknown;
    throw error;
  }
}

/** EPERM: no CAP_SYS_ADMIN. ENOSYS, EINVAL: a kernel without bpf(), or without this command. */
function isUnknown(error: unknown): boolean {
  return error instanceof LibraryError ||
    (error instanceof KernelError && ["EPERM", "ENOSYS", "EINVAL"].includes(error.errnoName));
}
