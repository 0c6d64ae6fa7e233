import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";
import { addressOf, stringIn } from "../memory.ts";
import { idsFrom } from "./ids.ts";

// struct bpf_prog_info, linux/bpf.h: 4 bytes each, except the pointer and the name.
const ID_OFFSET = 4;
const MAP_COUNT_OFFSET = 52;
const MAP_IDS_OFFSET = 56;
const NAME_OFFSET = 64;
const NAME_BYTES = 16;
const VERIFIED_INSNS_OFFSET = 216;
const INFO_BYTES = 232;

/** Our handle of a loaded program. */
export class BpfProgram implements Disposable {
  constructor(readonly name: string, readonly fd: number) {}

  /**
   * Opens all programs on the machine, one after the other. The caller disposes of each. Takes CAP_SYS_ADMIN.
   * @throws KernelError
   */
  static *all(): Generator<BpfProgram> {
    for (const id of idsFrom("list BPF programs", libbpf().bpf_prog_get_next_id)) {
      const program = BpfProgram.byId(id);
      if (program !== undefined) yield program;
    }
  }

  /** Opens a program by the kernel's number for it; undefined if it is gone. Takes CAP_SYS_ADMIN. */
  static byId(id: number): BpfProgram | undefined {
    const fd = libbpf().bpf_prog_get_fd_by_id(id);
    if (fd < 0) return undefined;
    const info = new BpfProgram(`${id}`, fd).#info();
    return new BpfProgram(stringIn(new Uint8Array(info.buffer, NAME_OFFSET, NAME_BYTES)), fd);
  }

  /** The kernel's numbers for the maps that the program uses, at most `max`. */
  mapIds(max: number): readonly number[] {
    const ids = new Uint32Array(max);
    const info = this.#info((view) => {
      view.setUint32(MAP_COUNT_OFFSET, max, true);
      view.setBigUint64(MAP_IDS_OFFSET, addressOf(ids), true);
    });
    return [...ids.subarray(0, Math.min(max, info.getUint32(MAP_COUNT_OFFSET, true)))];
  }

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

  /** @param prepare fills in where the kernel writes lists to. */
  #info(prepare = (_info: DataView): void => {}): DataView<ArrayBuffer> {
    const info = new Uint8Array(INFO_BYTES);
    prepare(new DataView(info.buffer));
    const result = libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([INFO_BYTES]));
    if (result < 0) throw new KernelError(`read the properties of BPF program ${this.name}`, -result);
    return new DataView(info.buffer);
  }
}
