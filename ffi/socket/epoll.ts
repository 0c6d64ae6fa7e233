import { EPOLL_EVENT_BYTES } from "../architecture.ts";
import { KernelError } from "../errors.ts";
import { calls, errno } from "./calls.ts";
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from "./constants.ts";

/** struct epoll_event { __poll_t events; __u64 data; }, where `data` is our token. In words of 32 bits. */
const EVENT_WORDS = EPOLL_EVENT_BYTES / 4;
const TOKEN_WORD = EVENT_WORDS - 2;

/** Events per call. More wait for the next one. */
const MAX_EVENTS = 256;

/**
 * An epoll instance. Each registered descriptor has a generation, a number that changes when the descriptor is reused,
 * so that an event of a closed descriptor that was reported in the same call can be told from one of its successor.
 */
export class Epoll implements Disposable {
  readonly #fd: number;
  readonly #request = new Uint32Array(new ArrayBuffer(EPOLL_EVENT_BYTES));
  readonly #ready = new Uint32Array(new ArrayBuffer(EPOLL_EVENT_BYTES * MAX_EVENTS));

  /** @throws KernelError EMFILE */
  constructor() {
    this.#fd = calls.epoll_create1(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw new KernelError("create an epoll instance", errno());
  }

  /** @returns false if the kernel has no memory for it, or the user too many registrations. */
  add(fd: number, generation: number, events: number): boolean {
    return this.#control(EPOLL_CTL_ADD, fd, generation, events);
  }

  modify(fd: number, generation: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, generation, events);
  }

  /** Closing a descriptor removes it, too. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /**
   * Waits, and blocks the thread meanwhile.
   * @param timeoutMs -1 for no limit.
   * @returns the number of events; 0 after the timeout or a signal.
   */
  wait(timeoutMs: number): number {
    return Math.max(0, calls.epoll_wait(this.#fd, this.#ready, MAX_EVENTS, timeoutMs));
  }

  /** Bits of EPOLL… of an event of the last `wait`. */
  eventsOf(index: number): number {
    return this.#ready[index * EVENT_WORDS] ?? 0;
  }

  fdOf(index: number): number {
    return this.#ready[index * EVENT_WORDS + TOKEN_WORD] ?? 0;
  }

  generationOf(index: number): number {
    return this.#ready[index * EVENT_WORDS + TOKEN_WORD + 1] ?? 0;
  }

  [Symbol.dispose](): void {
    calls.close(this.#fd);
  }

  #control(operation: number, fd: number, generation: number, events: number): boolean {
    this.#request[0] = events;
    this.#request[TOKEN_WORD] = fd;
    this.#request[TOKEN_WORD + 1] = generation;
    return calls.epoll_ctl(this.#fd, operation, fd, this.#request) === 0;
  }
}
