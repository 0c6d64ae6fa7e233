import { BpfLink } from "../../../ffi/bpf/link.ts";
import type { BpfProgram } from "../../../ffi/bpf/program.ts";

/** The attach point of a program. */
export interface AttachPoint {
  /** Names the program and the target in errors, as in "connect4 to /sys/fs/cgroup". */
  readonly name: string;
  /** File descriptor of a cgroup, or index of a device. */
  readonly target: number;
  /** enum bpf_attach_type, linux/bpf.h */
  readonly attachType: number;
  /** Path of the pinned link. */
  readonly path: string;
  /** Reports whether a link is attached to the target. */
  isAttached(link: BpfLink): boolean;
}

/**
 * Attaches a program with a pinned link. If the pinned link is already attached to the target, its program is
 * replaced atomically.
 * @returns whether a new link was needed.
 * @throws KernelError
 */
export function attachPinned(program: BpfProgram, point: AttachPoint): boolean {
  using pinned = BpfLink.pinned(point.name, point.path);
  if (pinned !== undefined && point.isAttached(pinned)) {
    pinned.update(program);
    return false;
  }
  using link = BpfLink.attach(point.name, program, point.target, point.attachType);
  if (pinned !== undefined) Deno.removeSync(point.path);
  link.pin(point.path);
  return true;
}
