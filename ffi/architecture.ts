/**
 * Everything of the kernel's interface that differs between the supported processors. Both are little-endian with 64-bit
 * pointers, and align the members of structures in the same way. tests/integration/processors_test.ts checks this, and
 * every other constant and layout, with the headers of both.
 */
interface Architecture {
  /** asm/unistd.h */
  readonly SYS_finit_module: bigint;
  /** asm/unistd.h */
  readonly SYS_bpf: bigint;
  /** asm/fcntl.h */
  readonly O_DIRECTORY: number;
  /** sizeof(struct epoll_event), which is packed on x86-64 only. sys/epoll.h */
  readonly EPOLL_EVENT_BYTES: number;
}

/** The supported processors, by their names in Deno. */
export const ARCHITECTURES: Readonly<Record<typeof Deno.build.arch, Architecture>> = {
  x86_64: { SYS_finit_module: 313n, SYS_bpf: 321n, O_DIRECTORY: 0o200000, EPOLL_EVENT_BYTES: 12 },
  aarch64: { SYS_finit_module: 273n, SYS_bpf: 280n, O_DIRECTORY: 0o40000, EPOLL_EVENT_BYTES: 16 },
};

export const { SYS_finit_module, SYS_bpf, O_DIRECTORY, EPOLL_EVENT_BYTES } = ARCHITECTURES[Deno.build.arch];
