import { BackendError } from "../../../core/backend/contract.ts";
import { BpfLink } from "../../../ffi/bpf/link.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { openDirectory } from "../../../ffi/files/file_descriptor.ts";
import { attachPinned } from "./pinned_link.ts";
import type { Pins } from "./pins.ts";

export type SocketProgram = keyof typeof ATTACH_TYPES;

/** Attach type of each program in sock.bpf.c: enum bpf_attach_type, linux/bpf.h. */
const ATTACH_TYPES = {
  // Programs of the reply direction come first, so that no socket ever sees an endpoint's address.
  getpeername4: 29, // BPF_CGROUP_INET4_GETPEERNAME
  getpeername6: 30, // BPF_CGROUP_INET6_GETPEERNAME
  recvmsg4: 19, // BPF_CGROUP_UDP4_RECVMSG
  recvmsg6: 20, // BPF_CGROUP_UDP6_RECVMSG
  sendmsg4: 14, // BPF_CGROUP_UDP4_SENDMSG
  sendmsg6: 15, // BPF_CGROUP_UDP6_SENDMSG
  connect4: 10, // BPF_CGROUP_INET4_CONNECT
  connect6: 11, // BPF_CGROUP_INET6_CONNECT
} as const;

export const SOCKET_PROGRAMS = Object.keys(ATTACH_TYPES) as readonly SocketProgram[];

/**
 * Attaches the programs to a cgroup, or replaces those that a previous process attached. A replacement is
 * atomic for each program: every call of a socket runs either the old program or the new one.
 * @returns descriptions of programs that were not attached.
 * @throws BackendError if the cgroup does not exist.
 * @throws KernelError
 */
export function attachToCgroup(
  programs: ReadonlyMap<SocketProgram, BpfProgram>,
  cgroup: string,
  pins: Pins,
): readonly string[] {
  const cgroupId = idOf(cgroup);
  if (cgroupId === undefined) {
    throw new BackendError(
      `ebpf: cgroup ${cgroup} is gone: create it, or name another one with --ebpf-cgroup`,
    );
  }
  using directory = openDirectory(cgroup);
  const differences: string[] = [];
  for (const name of SOCKET_PROGRAMS) {
    const program = programs.get(name);
    if (program === undefined) throw new Error(`program ${name} is not loaded`);
    const isNew = attachPinned(program, {
      name: `${name} of cgroup ${cgroup}`,
      target: directory.fd,
      attachType: ATTACH_TYPES[name],
      path: pins.link(name),
      isAttached: (link) => link.info().cgroupId === cgroupId,
    });
    if (isNew) differences.push(`program ${name} was not attached to cgroup ${cgroup}`);
  }
  return differences;
}

/**
 * Returns the programs that are not attached to the cgroup: detached by another program, or removed with the
 * cgroup.
 */
export function programsDetachedFrom(cgroup: string, pins: Pins): readonly SocketProgram[] {
  const cgroupId = idOf(cgroup);
  return SOCKET_PROGRAMS.filter((name) => {
    using pinned = BpfLink.pinned(name, pins.link(name));
    return pinned === undefined || pinned.info().cgroupId !== cgroupId;
  });
}

/**
 * The kernel's id of a cgroup; undefined if it does not exist. A cgroup that is created again has a new id.
 */
function idOf(cgroup: string): bigint | undefined {
  try {
    return BigInt(Deno.statSync(cgroup).ino ?? 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
