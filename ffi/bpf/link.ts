import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";
import { cString } from "../memory.ts";
import { idsFrom } from "./ids.ts";
import type { BpfProgram } from "./program.ts";

// struct bpf_link_info, linux/bpf.h: u32 type, id, prog_id; the union at 16: u64 cgroup_id, or u32 ifindex.
const INFO_BYTES = 64;

/** enum bpf_link_type, linux/bpf.h */
export const BPF_LINK_TYPE = {
  CGROUP: 3, // BPF_LINK_TYPE_CGROUP
  TCX: 11, // BPF_LINK_TYPE_TCX
} as const;

export interface LinkInfo {
  readonly type: number;
  readonly programId: number;
  readonly cgroupId: bigint;
  readonly ifindex: number;
}

/**
 * The attachment of a program, and our handle of it. The attachment ends with its last handle unless it is pinned.
 * The attach type decides what the target is: the descriptor of a cgroup, or the index of a device.
 */
export class BpfLink implements Disposable {
  private constructor(readonly what: string, readonly fd: number) {}

  /**
   * @param what names the attachment in errors: "connect4 in /sys/fs/cgroup".
   * @throws KernelError
   */
  static attach(what: string, program: BpfProgram, target: number, attachType: number): BpfLink {
    const fd = libbpf().bpf_link_create(program.fd, target, attachType, null);
    if (fd < 0) throw new KernelError(`attach BPF program ${what}`, -fd);
    return new BpfLink(what, fd);
  }

  /** Opens the link pinned at `path`; undefined if there is none. */
  static pinned(what: string, path: string): BpfLink | undefined {
    const fd = libbpf().bpf_obj_get(cString(path));
    if (fd === -errnoOf("ENOENT")) return undefined;
    if (fd < 0) throw new KernelError(`open BPF link ${path}`, -fd);
    return new BpfLink(what, fd);
  }

  /**
   * Opens the links of all programs on the machine, one after the other. The caller disposes of each. Takes CAP_SYS_ADMIN.
   * @throws KernelError
   */
  static *all(): Generator<BpfLink> {
    for (const id of idsFrom("list BPF links", libbpf().bpf_link_get_next_id)) {
      const fd = libbpf().bpf_link_get_fd_by_id(id);
      // It may have ended since it was listed.
      if (fd >= 0) yield new BpfLink(`of link ${id}`, fd);
    }
  }

  /** Ends the attachment. The link stays, with its pins. */
  detach(): void {
    this.#check("detach", libbpf().bpf_link_detach(this.fd));
  }

  /** Replaces the program atomically. */
  update(program: BpfProgram): void {
    this.#check("replace", libbpf().bpf_link_update(this.fd, program.fd, null));
  }

  pin(path: string): void {
    this.#check(`pin at ${path}`, libbpf().bpf_obj_pin(this.fd, cString(path)));
  }

  /** The kind of the link (BPF_LINK_TYPE), the kernel's number for the program, and the target: 0 if that is gone. */
  info(): LinkInfo {
    const info = new Uint8Array(INFO_BYTES);
    this.#check(
      "read the properties of",
      libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([INFO_BYTES])),
    );
    const view = new DataView(info.buffer);
    return {
      type: view.getUint32(0, true),
      programId: view.getUint32(8, true),
      cgroupId: view.getBigUint64(16, true),
      ifindex: view.getUint32(16, true),
    };
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
  }

  #check(operation: string, result: number): void {
    if (result < 0) throw new KernelError(`${operation} BPF program ${this.what}`, -result);
  }
}
