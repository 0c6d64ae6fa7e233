import { EFD_CLOEXEC, EFD_NONBLOCK, libc } from "../libraries/libc.ts";
import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";

/** An eventfd: a counter with which one thread wakes another one that waits in epoll. */
export class WakeCounter implements Disposable {
  readonly #value = new BigUint64Array(1);

  /** @throws KernelError EMFILE */
  static create(): WakeCounter {
    const fd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw new KernelError("create an eventfd", errnoOf("EMFILE"));
    return new WakeCounter(fd);
  }

  /** @param fd of a counter that another thread created. */
  constructor(readonly fd: number) {}

  increment(): void {
    this.#value[0] = 1n;
    libc().write(this.fd, this.#value, 8n);
  }

  /** Returns the number of increments since the last call. */
  take(): number {
    return libc().read(this.fd, this.#value, 8n) === 8n ? Number(this.#value[0]) : 0;
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
  }
}
