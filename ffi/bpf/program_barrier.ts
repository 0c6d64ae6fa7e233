import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";
import { cString } from "../memory.ts";

// enum bpf_map_type, linux/bpf.h
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS = 12;

/** struct bpf_map_create_opts, bpf/bpf.h: size_t sz; u32 btf_fd, 2 type ids, a type of vmlinux, inner_map_fd, map_flags. */
const CREATE_OPTIONS = { bytes: 32, innerMapFd: 24 };

const ONLY_KEY = new Uint8Array(4);

/**
 * Waits until every run of a BPF program that has already begun is over. The kernel does so before an update of a map of
 * maps returns (`maybe_wait_bpf_programs` in kernel/bpf/syscall.c, commit 1ae80cf31938), so this object has one. A
 * period of time would be no substitute: a program may be preempted, and a virtual machine stopped, for any time.
 */
export class ProgramBarrier implements Disposable {
  readonly #inner: number;
  readonly #outer: number;

  /** @throws KernelError */
  constructor() {
    const options = new DataView(new ArrayBuffer(CREATE_OPTIONS.bytes));
    options.setBigUint64(0, BigInt(CREATE_OPTIONS.bytes), true);
    this.#inner = create(BPF_MAP_TYPE_ARRAY, options);
    options.setUint32(CREATE_OPTIONS.innerMapFd, this.#inner, true);
    try {
      this.#outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, options);
    } catch (error) {
      libc().close(this.#inner);
      throw error;
    }
  }

  /** Takes some milliseconds, during which this thread is blocked. @throws KernelError */
  wait(): void {
    const inner = new Uint8Array(Uint32Array.of(this.#inner).buffer);
    const result = libbpf().bpf_map_update_elem(this.#outer, ONLY_KEY, inner, 0n);
    if (result < 0) throw new KernelError("wait for BPF programs to end", -result);
  }

  [Symbol.dispose](): void {
    libc().close(this.#outer);
    libc().close(this.#inner);
  }
}

function create(type: number, options: DataView<ArrayBuffer>): number {
  const bytes = new Uint8Array(options.buffer);
  const fd = libbpf().bpf_map_create(type, cString("barrier"), 4, 4, 1, bytes);
  if (fd < 0) throw new KernelError("create a BPF map to wait for programs", -fd);
  return fd;
}
