import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";
import { BpfLink } from "./link.ts";
import type { BpfProgram } from "./program.ts";

const BPF_TRACE_ITER = 28; // enum bpf_attach_type, linux/bpf.h

/** A program that the kernel runs for each of its objects of one kind, each time the iterator is read. */
export class BpfIterator implements Disposable {
  readonly #link: BpfLink;

  /** @param what names the objects in errors: "TCP sockets". */
  constructor(readonly what: string, program: BpfProgram) {
    this.#link = BpfLink.attach(what, program, 0, BPF_TRACE_ITER);
  }

  /**
   * Runs the program for all objects. Objects that belong to a network namespace are limited to that of the calling
   * thread.
   * @returns the output of the program.
   */
  run(): Uint8Array<ArrayBuffer> {
    const fd = libbpf().bpf_iter_create(this.#link.fd);
    if (fd < 0) throw new KernelError(`iterate over ${this.what}`, -fd);
    try {
      let written = new Uint8Array(4096);
      for (let total = 0;;) {
        if (total === written.length) written = enlarged(written);
        const free = written.subarray(total);
        const length = Number(libc().read(fd, free, BigInt(free.length)));
        if (length < 0) {
          throw new KernelError(`iterate over ${this.what}`, errnoOf("EIO"), { extack: "reading failed" });
        }
        if (length === 0) return written.subarray(0, total);
        total += length;
      }
    } finally {
      libc().close(fd);
    }
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
  }
}

function enlarged(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}
