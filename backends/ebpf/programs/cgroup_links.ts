import { BackendError } from "../../../core/backend/contract.ts";
import { BpfLink } from "../../../ffi/bpf/link.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";
import { openDirectory } from "../../../ffi/file_descriptor.ts";
import type { Pins } from "./pins.ts";

export type SocketProgram = keyof typeof attachTypes;

/** The programs of sock.bpf.c, and what they are attached as: enum bpf_attach_type, linux/bpf.h. */
const attachTypes = {
  // What translates back comes first: no socket is to see an endpoint's address.
  getpeername4: 29, // BPF_CGROUP_INET4_GETPEERNAME
  getpeername6: 30, // BPF_CGROUP_INET6_GETPEERNAME
  recvmsg4: 19, // BPF_CGROUP_UDP4_RECVMSG
  recvmsg6: 20, // BPF_CGROUP_UDP6_RECVMSG
  sendmsg4: 14, // BPF_CGROUP_UDP4_SENDMSG
  sendmsg6: 15, // BPF_CGROUP_UDP6_SENDMSG
  connect4: 10, // BPF_CGROUP_INET4_CONNECT
  connect6: 11, // BPF_CGROUP_INET6_CONNECT
} as const;

export const socketPrograms = Object.keys(attachTypes) as readonly SocketProgram[];

/**
 * Attaches the programs to a cgroup, or puts them in the place of those that a process before this one attached:
 * every call of a socket runs either the old program or the new one.
 * @returns which were not attached as they should be, in words.
 */
export function attachToCgroup(
  programs: ReadonlyMap<SocketProgram, BpfProgram>,
  cgroup: string,
  pins: Pins,
): readonly string[] {
  const cgroupId = idOf(cgroup);
  if (cgroupId === undefined) {
    throw new BackendError(`ebpf: cgroup ${cgroup} is gone: make it, or name another one with --ebpf-cgroup`);
  }
  using target = openDirectory(cgroup);
  const wrong: string[] = [];
  for (const name of socketPrograms) {
    const program = programs.get(name);
    if (program === undefined) throw new Error(`program ${name} is not loaded`);
    const what = `${name} of ${cgroup}`;
    using pinned = BpfLink.pinned(what, pins.link(name));
    if (pinned !== undefined && pinned.info().cgroupId === cgroupId) {
      pinned.update(program);
      continue;
    }
    wrong.push(`${what} was not attached`);
    replaceLink(what, program, target.fd, attachTypes[name], pins.link(name), pinned !== undefined);
  }
  return wrong;
}

/** Which programs are not attached, or not there any more: somebody detached them, or removed the cgroup. */
export function detached(cgroup: string, pins: Pins): readonly string[] {
  const cgroupId = idOf(cgroup);
  return socketPrograms.filter((name) => {
    using pinned = BpfLink.pinned(name, pins.link(name));
    return pinned === undefined || pinned.info().cgroupId !== cgroupId;
  });
}

/** The kernel's number of a cgroup; undefined when it is gone. One that is made again has another. */
function idOf(cgroup: string): bigint | undefined {
  try {
    return BigInt(Deno.statSync(cgroup).ino ?? 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function replaceLink(
  what: string,
  program: BpfProgram,
  target: number,
  attachType: number,
  path: string,
  isPinned: boolean,
): void {
  using link = BpfLink.attach(what, program, target, attachType);
  if (isPinned) Deno.removeSync(path);
  link.pin(path);
}
