import type { BpfObject } from "../../ffi/bpf/object.ts";
import { KernelError } from "../../ffi/errors.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import { hasDeviceLinks, packetPrograms } from "./programs/tc_attach.ts";
import { cgroupRoot, type Mount, mountOf } from "./programs/mounts.ts";
import { loadAlone, type ObjectName } from "./programs/objects.ts";
import type { EbpfOptions } from "./options.ts";
import { canEndSockets } from "./sockets/sock_diag.ts";

/** What the mode needs, each tried. */
export async function probe(options: EbpfOptions, mounts: readonly Mount[]): Promise<readonly Requirement[]> {
  return [
    pinning(options.bpffs, mounts),
    cgroup(options.cgroup, mounts),
    programs("sock", "sockets of this node"),
    programs("tc", "packets from outside", wayToDevices),
    await staleSockets(),
  ];
}

function pinning(path: string, mounts: readonly Mount[]): Requirement {
  const what = { name: "a BPF file system", severity: "required" } as const;
  const mount = mountOf(path, mounts);
  if (mount?.type === "bpf") {
    return { ...what, found: true, detail: `${path} is on the one at ${mount.path}` };
  }
  return {
    ...what,
    found: false,
    detail:
      `--ebpf-bpffs ${path} is on ${mount === undefined ? "nothing" : `${mount.type} at ${mount.path}`}: ` +
      `mount one, with: mount -t bpf bpf ${path.startsWith("/sys/fs/bpf") ? "/sys/fs/bpf" : path}`,
  };
}

function cgroup(path: string, mounts: readonly Mount[]): Requirement {
  const what = { name: "a cgroup of version 2", severity: "required" } as const;
  if (path === "") {
    const root = cgroupRoot(mounts);
    return root === undefined
      ? {
        ...what,
        found: false,
        detail: "cgroup v2 is not mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
      }
      : { ...what, found: true, detail: `sockets of all processes below ${root} are balanced` };
  }
  const mount = mountOf(path, mounts);
  if (mount?.type === "cgroup2" && isDirectory(path)) {
    return { ...what, found: true, detail: `sockets of all processes below ${path} are balanced` };
  }
  return { ...what, found: false, detail: `--ebpf-cgroup ${path} is no directory of a cgroup v2 mount` };
}

/**
 * Has the kernel check the programs, over maps that go at once.
 * @param more to say of those that it accepts.
 */
function programs(object: ObjectName, of: string, more = (_loaded: BpfObject) => ""): Requirement {
  const what = { name: `BPF programs for ${of}`, severity: "required" } as const;
  try {
    using loaded = loadAlone(object);
    return { ...what, found: true, detail: `the kernel accepts them${more(loaded)}` };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const forbidden = error instanceof KernelError && error.errnoName === "EPERM";
    return {
      ...what,
      found: false,
      detail: forbidden
        ? "the process lacks the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or CAP_SYS_ADMIN for all"
        : `${error.message}. The mode needs Linux 6.1 or later`,
    };
  }
}

/** How packets get to the programs: either way will do. */
function wayToDevices(loaded: BpfObject): string {
  using program = loaded.program(packetPrograms[0]);
  return hasDeviceLinks(program)
    ? ", and links them to devices"
    : "; they become filters of devices (clsact): it has no links to devices (tcx, Linux 6.6)";
}

/** How sockets are ended: either way will do. */
async function staleSockets(): Promise<Requirement> {
  const of = "sockets whose endpoint is gone";
  const destroying: Requirement = { ...programs("destroy", of), severity: "recommended" };
  if (destroying.found) return destroying;
  if (programs("find", of).found && await canEndSockets()) {
    return {
      ...destroying,
      found: true,
      detail:
        "the kernel accepts those that find them, and sock_diag ends them: it lets no program do that " +
        "(bpf_sock_destroy, Linux 6.5)",
    };
  }
  return {
    ...destroying,
    detail: "connected sockets keep sending to an endpoint that is gone until their owner opens new ones: " +
      "ending them takes a kernel with BTF, and Linux 6.5 or later or CONFIG_INET_DIAG_DESTROY",
  };
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
