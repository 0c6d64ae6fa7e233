import { KernelError } from "../errors.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from "../libraries/libc.ts";
import { calls, errno } from "./calls.ts";
import { AF_NETLINK, SOCK_RAW } from "./constants.ts";

/** Longest answer to a question about one object. */
const ANSWER_BYTES = 8192;

/**
 * Questions that the kernel answers within the system call, so that a thread without event loop can ask them. Other
 * netlink exchanges are those of NetlinkClient.
 */
export class NetlinkQuery implements Disposable {
  readonly #fd: number;
  readonly #answer = new Uint8Array(new ArrayBuffer(ANSWER_BYTES));

  /** @throws KernelError EPROTONOSUPPORT if the kernel lacks the protocol. */
  constructor(protocol: number) {
    this.#fd = calls.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (this.#fd < 0) throw new KernelError(`open a socket of netlink protocol ${protocol}`, errno());
  }

  /**
   * Asks a question of one message.
   * @returns the datagram of the answer, valid until the next call; undefined if there is none.
   */
  ask(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    if (calls.send(this.#fd, message, BigInt(message.length), 0) < 0) return undefined;
    const count = calls.recv(this.#fd, this.#answer, BigInt(ANSWER_BYTES), 0);
    return count <= 0 ? undefined : this.#answer.subarray(0, count);
  }

  [Symbol.dispose](): void {
    calls.close(this.#fd);
  }
}
