import { KernelError } from "../errors.ts";
import { libbpf } from "../libbpf.ts";
import { libc } from "../libc.ts";

// struct bpf_prog_info, linux/bpf.h: 4 bytes each.
const ID_OFFSET = 4;
const VERIFIED_INSNS_OFFSET = 216;
const INFO_BYTES = 232;

/** Our handle of a loaded program. */
export class BpfProgram implements Disposable {
  constructor(readonly name: string, readonly fd: number) {}

  /** The kernel's number for the program. */
  get id(): number {
    return this.#info().getUint32(ID_OFFSET, true);
  }

  /** Number of instructions that the verifier processed. Its limit is a million. */
  get verifiedInstructions(): number {
    return this.#info().getUint32(VERIFIED_INSNS_OFFSET, true);
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
  }

  #info(): DataView {
    const info = new Uint8Array(INFO_BYTES);
    const result = libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([INFO_BYTES]));
    if (result < 0) throw new KernelError(`read the properties of BPF program ${this.name}`, -result);
    return new DataView(info.buffer);
  }
}
