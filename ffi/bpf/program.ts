import { KernelError } from "../errors.ts";
import { libbpf } from "../libbpf.ts";
import { libc } from "../libc.ts";

// struct bpf_prog_info, linux/bpf.h: 4 bytes each.
const ID_OFFSET = 4;
const VERIFIED_INSNS_OFFSET = 216;
const INFO_SIZE = 232;

/** A loaded program, and our handle of it. */
export class BpfProgram implements Disposable {
  constructor(readonly name: string, readonly fd: number) {}

  /** The kernel's number for it. */
  get id(): number {
    return this.#info().getUint32(ID_OFFSET, true);
  }

  /** How many instructions the verifier went through, at most a million. */
  get verifiedInstructions(): number {
    return this.#info().getUint32(VERIFIED_INSNS_OFFSET, true);
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
  }

  #info(): DataView {
    const info = new Uint8Array(INFO_SIZE);
    const result = libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([INFO_SIZE]));
    if (result < 0) throw new KernelError(`ask for BPF program ${this.name}`, -result);
    return new DataView(info.buffer);
  }
}
