import { Epoll } from "../../../ffi/socket/epoll.ts";

/** Owner of descriptors in the event loop. */
export interface EventTarget {
  /** @param events bits of EPOLL… */
  handleEvents(fd: number, events: number): void;
}

/** Work that is due at a time. */
export interface Timer {
  /** Milliseconds of `EventLoop.now`; Infinity if nothing is due. */
  readonly nextDeadline: number;
  expire(now: number): void;
}

/** Work that goes on in the next turn, so that one connection does not keep the others waiting. */
export interface Continuation {
  resume(): void;
}

/** Dispatches the events of descriptors, blocking the thread while there is nothing to do. */
export class EventLoop implements Disposable {
  readonly #epoll = new Epoll();
  /** Owners of descriptors, by descriptor. */
  readonly #targets: (EventTarget | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #timers: Timer[] = [];
  #continuations: Continuation[] = [];
  #generation = 0;
  /** Milliseconds; the time when the current turn began. */
  now = performance.now();

  /** @returns false if the kernel has no memory for it. */
  add(fd: number, target: EventTarget, events: number): boolean {
    this.#generation = (this.#generation + 1) >>> 0;
    if (!this.#epoll.add(fd, this.#generation, events)) return false;
    this.#targets[fd] = target;
    this.#generations[fd] = this.#generation;
    return true;
  }

  modify(fd: number, events: number): void {
    this.#epoll.modify(fd, this.#generations[fd] ?? 0, events);
  }

  /** Ignores a descriptor from now on. The caller closes it. */
  forget(fd: number): void {
    this.#targets[fd] = undefined;
  }

  /** Ignores a descriptor from now on, also when another process keeps its file open. The caller closes it. */
  remove(fd: number): void {
    this.forget(fd);
    this.#epoll.remove(fd);
  }

  addTimer(timer: Timer): void {
    this.#timers.push(timer);
  }

  continueLater(work: Continuation): void {
    this.#continuations.push(work);
  }

  /** Waits for events, a deadline or work that goes on, and handles everything that there is. */
  turn(): void {
    const count = this.#epoll.wait(this.#timeoutMs());
    this.now = performance.now();
    for (let index = 0; index < count; index++) {
      const fd = this.#epoll.fdOf(index);
      // An earlier event of this turn may have closed the descriptor, or even opened it again.
      if (this.#generations[fd] !== this.#epoll.generationOf(index)) continue;
      this.#targets[fd]?.handleEvents(fd, this.#epoll.eventsOf(index));
    }
    const continuations = this.#continuations;
    if (continuations.length > 0) {
      this.#continuations = [];
      for (const work of continuations) work.resume();
    }
    for (const timer of this.#timers) {
      if (timer.nextDeadline <= this.now) timer.expire(this.now);
    }
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }

  #timeoutMs(): number {
    if (this.#continuations.length > 0) return 0;
    let deadline = Infinity;
    for (const timer of this.#timers) deadline = Math.min(deadline, timer.nextDeadline);
    if (deadline === Infinity) return -1;
    return Math.min(Math.max(Math.ceil(deadline - performance.now()), 0), 60_000);
  }
}
