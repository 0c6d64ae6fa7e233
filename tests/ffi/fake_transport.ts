import type { KernelError } from "../../ffi/errors.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";

/** A datagram the fake kernel sends, or the error of the call that would have received it. */
export type Scripted = Uint8Array<ArrayBuffer> | KernelError;

/** Records what is sent, and answers it with scripted datagrams. */
export class FakeTransport implements NetlinkTransport {
  readonly portId = 4711;
  /** Copies of what was sent, oldest first. */
  readonly sent: Uint8Array<ArrayBuffer>[] = [];
  readonly groups = new Set<number>();
  closed = false;
  readonly #answer: (sent: Uint8Array<ArrayBuffer>) => readonly Scripted[];
  readonly #queue: Scripted[] = [];

  /** @param answer what each sent datagram brings about. */
  constructor(answer: (sent: Uint8Array<ArrayBuffer>) => readonly Scripted[] = () => []) {
    this.#answer = answer;
  }

  /** Lets the fake kernel say something unasked. */
  deliver(...datagrams: readonly Scripted[]): void {
    this.#queue.push(...datagrams);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    const copy = message.slice();
    this.sent.push(copy);
    this.#queue.push(...this.#answer(copy));
  }

  // deno-lint-ignore require-await
  async sendLarge(message: Uint8Array<ArrayBuffer>): Promise<void> {
    this.send(message);
  }

  receive(): Uint8Array<ArrayBuffer> | undefined {
    const next = this.#queue.shift();
    if (next instanceof Error) throw next;
    return next;
  }

  // deno-lint-ignore require-await
  async readable(_timeoutMs: number): Promise<boolean> {
    return this.#queue.length > 0;
  }

  joinGroup(group: number): void {
    this.groups.add(group);
  }

  leaveGroup(group: number): void {
    this.groups.delete(group);
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }
}
