import type { BpfObject } from "../../ffi/bpf/object.ts";
import { type Capability, effectiveCapabilities } from "../../ffi/system/capabilities.ts";
import { KernelError } from "../../ffi/errors.ts";
import { AF_INET } from "../../ffi/inet.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { nfgenmsg } from "../../ffi/netlink/nfnetlink.ts";
import { mayEnterNetworkNamespaces } from "../../ffi/system/network_namespaces.ts";
import { CT_GET } from "../conntrack/ctnetlink.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { EbpfOptions } from "./options.ts";
import { cgroupRoot, locate, type Mount, mountOf } from "./programs/mounts.ts";
import { loadUnpinned, type ObjectName } from "./programs/objects.ts";
import { hasDeviceLinks, PACKET_PROGRAMS } from "./programs/tc_attach.ts";
import { canDestroySockets } from "./sockets/sock_diag.ts";

/** Tries everything that the mode needs. */
export async function probe(options: EbpfOptions, mounts: readonly Mount[]): Promise<readonly Requirement[]> {
  return [
    probePinning(options.bpffs, mounts),
    probeCgroup(options.cgroup, mounts),
    probePrograms("sock", "sockets of this node"),
    ...await probePacketPrograms(),
    ...await probeSocketTermination(options),
  ];
}

function probePinning(path: string, mounts: readonly Mount[]): Requirement {
  const what = { name: "BPF file system", severity: "required" } as const;
  const { mount, isRoot } = locate(path, mounts);
  if (mount?.type === "bpf" && isRoot) return { ...what, found: false, detail: rootOfMount(path) };
  if (mount?.type === "bpf") return { ...what, found: true, detail: `${mount.path} contains ${path}` };
  const current = mount === undefined ? "no mount" : `${mount.type} at ${mount.path}`;
  const mountPoint = path.startsWith("/sys/fs/bpf") ? "/sys/fs/bpf" : path;
  return {
    ...what,
    found: false,
    detail: `--ebpf-bpffs ${path} is on ${current}. Mount one: mount -t bpf bpf ${mountPoint}`,
  };
}

/** The mistake of a `--ebpf-bpffs` that is the root of a BPF file system. */
export function rootOfMount(path: string): string {
  return `--ebpf-bpffs ${path} is the root of a mount, where other programs have their pins: name a directory in it, ` +
    `such as ${path}/proxy`;
}

function probeCgroup(path: string, mounts: readonly Mount[]): Requirement {
  const what = { name: "cgroup v2", severity: "required" } as const;
  const balanced = (path: string) => ({
    ...what,
    found: true,
    detail: `sockets of all processes below ${path} are balanced`,
  });
  if (path === "") {
    const root = cgroupRoot(mounts);
    if (root !== undefined) return balanced(root);
    return {
      ...what,
      found: false,
      detail: "not mounted. Mount it: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    };
  }
  if (mountOf(path, mounts)?.type === "cgroup2" && isDirectory(path)) return balanced(path);
  return { ...what, found: false, detail: `--ebpf-cgroup ${path} is not a directory in a cgroup v2 mount` };
}

async function probePacketPrograms(): Promise<readonly Requirement[]> {
  await loadConnectionTracking();
  const purpose = "packets from outside";
  const lookup = { name: "lookup of netfilter's flows", severity: "recommended" } as const;
  const complete = probePrograms("tc_netfilter", purpose, describeAttachment);
  if (complete.found) {
    return [complete, { ...lookup, found: true, detail: "the kernel has bpf_skb_ct_lookup" }];
  }
  return [
    probePrograms("tc", purpose, describeAttachment),
    {
      ...lookup,
      found: false,
      detail: explainMissingLookup(stat(CONNTRACK_TYPES) !== undefined, effectiveCapabilities()),
    },
  ];
}

/** The types of connection tracking, where it is a module: CONFIG_DEBUG_INFO_BTF_MODULES */
const CONNTRACK_TYPES = "/sys/kernel/btf/nf_conntrack";

/**
 * Explains why programs cannot look up netfilter's flows.
 * @param isInModule whether connection tracking is a module whose types the kernel knows.
 * @param held capabilities of the process; undefined if they are not known.
 */
export function explainMissingLookup(
  isInModule: boolean,
  held: ReadonlySet<Capability> | undefined,
): string {
  // BPF_BTF_GET_FD_BY_ID in kernel/bpf/syscall.c
  const reason = isInModule && held?.has("CAP_SYS_ADMIN") !== true
    ? "the process lacks CAP_SYS_ADMIN, which it takes to use bpf_skb_ct_lookup of the module nf_conntrack"
    : "the kernel lacks bpf_skb_ct_lookup (CONFIG_DEBUG_INFO_BTF, CONFIG_DEBUG_INFO_BTF_MODULES), or its lockdown " +
      "refuses bpf_probe_read_kernel";
  return `${reason}, so some connections that are older than mode ebpf end, and masqueraded pods may lose answers if ` +
    "netfilter gives them node ports (docs/ebpf-packets.md#what-begins-a-flow): keep its masquerading away from " +
    "these ports";
}

/**
 * Makes the kernel load connection tracking where it is a module, by a request for its subsystem without content. Without
 * the module, programs that use its functions do not load.
 */
async function loadConnectionTracking(): Promise<void> {
  try {
    using client = NetlinkClient.open(NETLINK_NETFILTER);
    await client.request("load connection tracking", (message, seq) => {
      message.begin(CT_GET, NLM_F_REQUEST | NLM_F_ACK, seq);
      nfgenmsg(message, AF_INET, 0);
      message.end();
    });
  } catch (error) {
    // The kernel rejects the request in any case.
    if (!(error instanceof KernelError)) throw error;
  }
}

/**
 * Loads programs with temporary maps, so that the kernel verifies them.
 * @param describe returns more details about loaded programs.
 */
function probePrograms(
  object: ObjectName,
  purpose: string,
  describe = (_loaded: BpfObject) => "",
): Requirement {
  const what = { name: `BPF programs for ${purpose}`, severity: "required" } as const;
  try {
    using loaded = loadUnpinned(object);
    return { ...what, found: true, detail: `the kernel accepts them${describe(loaded)}` };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isForbidden = error instanceof KernelError && error.errnoName === "EPERM";
    return {
      ...what,
      found: false,
      detail: isForbidden
        ? explainBpfDenial(error.message)
        : `${error.message}. The mode needs Linux 6.1 or later`,
    };
  }
}

/**
 * Explains why the kernel answered EPERM to bpf().
 * @param held capabilities of the process; undefined if they are not known. The seam for tests.
 */
export function explainBpfDenial(message: string, held = effectiveCapabilities()): string {
  if (held === undefined) {
    return `${message}. It needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or CAP_SYS_ADMIN`;
  }
  const needed = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] as const;
  const missing = held.has("CAP_SYS_ADMIN") ? [] : needed.filter((capability) => !held.has(capability));
  if (missing.length > 0) return `the process lacks ${missing.join(" and ")}, or CAP_SYS_ADMIN instead`;
  return `${message}. The process has the capabilities, so a security module, the kernel's lockdown or a seccomp ` +
    "filter forbids bpf(), or the process runs in a user namespace";
}

/** Describes how the tc programs are attached to devices. */
function describeAttachment(loaded: BpfObject): string {
  using program = loaded.program(PACKET_PROGRAMS[0]);
  return hasDeviceLinks(program)
    ? ", and attaches them to devices with links (tcx)"
    : ", and attaches them to devices with filters (clsact), because it has no links (tcx, Linux 6.6)";
}

/** How sockets are ended, and where. */
async function probeSocketTermination({ sockets }: EbpfOptions): Promise<readonly Requirement[]> {
  const method = await probeTerminationMethod();
  // Only the node's own namespace has balanced sockets.
  return method.found && sockets === "all" ? [method, probeNamespaces()] : [method];
}

function probeNamespaces(): Requirement {
  const found = mayEnterNetworkNamespaces();
  return {
    name: "access to network namespaces of pods",
    severity: "recommended",
    found,
    detail: found
      ? "sockets of pods can be ended, too, in all namespaces that /proc and /run/netns show"
      : "the process lacks CAP_SYS_ADMIN, so connected sockets of pods keep sending to an endpoint that is gone until " +
        "their owner opens new ones. Sockets of the node are ended. Grant it, or balance pods by their packets " +
        "(--ebpf-sockets node)",
  };
}

/** Programs end the sockets themselves, or sock_diag ends those that programs find. */
async function probeTerminationMethod(): Promise<Requirement> {
  const purpose = "sockets whose endpoint is gone";
  const destroying: Requirement = { ...probePrograms("destroy", purpose), severity: "recommended" };
  if (destroying.found) return destroying;
  if (probePrograms("find", purpose).found && await canDestroySockets()) {
    return {
      ...destroying,
      found: true,
      detail: "the kernel accepts programs that find them, and sock_diag ends them, " +
        "because programs cannot (bpf_sock_destroy, Linux 6.5)",
    };
  }
  return {
    ...destroying,
    detail: "connected sockets keep sending to an endpoint that is gone until their owner opens new ones. " +
      "Ending them needs a kernel with BTF, and Linux 6.5 or later or CONFIG_INET_DIAG_DESTROY",
  };
}

function isDirectory(path: string): boolean {
  return stat(path)?.isDirectory === true;
}

function stat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}
