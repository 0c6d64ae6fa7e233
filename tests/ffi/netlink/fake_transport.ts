import type { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkTransport } from "../../../ffi/netlink/transport.ts";

/** A datagram from the fake kernel, or the error of the call that receives it. */
export type Scripted = Uint8Array<ArrayBuffer> | KernelError;

/** Records sent datagrams, and answers them with scripted ones. */
export class FakeTransport implements NetlinkTransport {
  readonly portId = 4711;
  /** Copies of the sent datagrams, oldest first. */
  readonly sent: Uint8Array<ArrayBuffer>[] = [];
  readonly groups = new Set<number>();
  closed = false;
  readonly #answer: (sent: Uint8Array<ArrayBuffer>) => readonly Scripted[];
  readonly #queue: Scripted[] = [];

  /** @param answer returns the answers to a sent datagram. */
  constructor(answer: (sent: Uint8Array<ArrayBuffer>) => readonly Scripted[] = () => []) {
    this.#answer = answer;
  }

  /** Delivers datagrams that answer no request. */
  deliver(...datagrams: readonly Scripted[]): void {
    this.#queue.push(...datagrams);
  }

  // deno-lint-ignore require-await
  async send(message: Uint8Array<ArrayBuffer>): Promise<void> {
    const copy = message.slice();
    this.sent.push(copy);
    this.#queue.push(...this.#answer(copy));
  }

  // deno-lint-ignore require-await
  async receiveOfDump(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.receive();
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
