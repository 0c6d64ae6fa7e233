import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { NETLINK_ROUTE, NLM_F_ACK, NLM_F_DUMP } from "./constants.ts";
import { exchange, type ExchangeOptions, readRejections, type Visit } from "./exchange.ts";
import { Pipeline, type RejectedRequest } from "./pipeline.ts";
import { type Acknowledgement, messages, type NetlinkMessage } from "./reader.ts";
import { NetlinkSocket } from "./socket.ts";
import type { NetlinkTransport, OpenNetlink } from "./transport.ts";
import { MessageWriter, type MessageWriterOptions } from "./writer.ts";

/** Writes one message with this nlmsg_seq. */
export type WriteMessage = (message: MessageWriter, seq: number) => void;

export interface RequestOptions {
  /** Names of errnos that count as success. */
  readonly ignore?: readonly string[];
}

/** Initial size of the request buffer. It grows for longer names. */
const REQUEST_BYTES = 256;

/** Attempts to read a table that changes during the dump. */
const DUMP_ATTEMPTS = 5;

/**
 * Requests, dumps, pipelines and batches over one netlink socket. Owns the socket, the sequence numbers and the
 * buffers that messages are written to.
 *
 * One call at a time. The socket must be in no multicast group, because a notification about the client's own request
 * looks like an answer to it.
 */
export class NetlinkClient implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #writerOptions: MessageWriterOptions;
  readonly #request: MessageWriter;
  #batch: MessageWriter | undefined;
  #pipeline: Pipeline | undefined;
  #seq = 1;

  /**
   * @param open the seam for tests.
   * @throws KernelError if the kernel lacks the protocol, LibraryError if libnl cannot be loaded.
   */
  static open(protocol: number, open: OpenNetlink = NetlinkSocket.open): NetlinkClient {
    // rtnetlink is older than NLA_F_NESTED, and `ip` and `tc` do not set it.
    return new NetlinkClient(open(protocol), { nestedFlag: protocol !== NETLINK_ROUTE });
  }

  /** @param transport is closed with the client. */
  constructor(transport: NetlinkTransport, writerOptions: MessageWriterOptions = {}) {
    this.#transport = transport;
    this.#writerOptions = writerOptions;
    this.#request = new MessageWriter(REQUEST_BYTES, writerOptions);
  }

  /** Address of the socket. The kernel puts it in nlmsg_pid of notifications about the client's changes. */
  get portId(): number {
    return this.#transport.portId;
  }

  /**
   * Sends one request (with NLM_F_ACK).
   * @param operation for the error: "list tables".
   * @returns the kernel's answers before its acknowledgement; none if the errno is ignored.
   * @throws KernelError if the kernel rejects the request.
   */
  async request(
    operation: string,
    write: WriteMessage,
    { ignore = [] }: RequestOptions = {},
  ): Promise<NetlinkMessage[]> {
    const seq = this.#write(operation, write, NLM_F_ACK, "a request needs NLM_F_ACK to know its end");
    const answers: NetlinkMessage[] = [];
    try {
      await exchange(this.#transport, this.#request, seq, operation, (message) => {
        answers.push(message);
      });
    } catch (error) {
      if (!(error instanceof KernelError) || !ignore.includes(error.errnoName)) throw error;
    }
    return answers;
  }

  /**
   * Sends one dump request (with NLM_F_DUMP). The result is a consistent view, so the dump starts again if the table
   * changed meanwhile.
   * @throws KernelError if the kernel rejects the request; EINTR if the table keeps changing.
   */
  async dump(operation: string, write: WriteMessage): Promise<NetlinkMessage[]> {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const answers: NetlinkMessage[] = [];
      const { interrupted } = await this.dumpEach(operation, write, (message) => {
        answers.push(message);
      });
      if (!interrupted) return answers;
    }
    const extack = `the table changed during each of ${DUMP_ATTEMPTS} attempts to read it`;
    throw new KernelError(operation, errnoOf("EINTR"), { extack });
  }

  /**
   * Sends one dump request (with NLM_F_DUMP) for a large table: hands over each answer as it comes and keeps none.
   * @returns interrupted: the table changed meanwhile, so entries may be missing or come twice.
   * @throws KernelError if the kernel rejects the request.
   */
  dumpEach(
    operation: string,
    write: WriteMessage,
    visit: Visit,
    options: Pick<ExchangeOptions, "inBackground"> = {},
  ): Promise<{ interrupted: boolean }> {
    const seq = this.#write(operation, write, NLM_F_DUMP, "a dump request needs NLM_F_DUMP");
    return exchange(this.#transport, this.#request, seq, operation, visit, { ...options, isDump: true });
  }

  /**
   * Sends many independent requests (without NLM_F_ACK), see `Pipeline`.
   * @param write writes the message of one command.
   * @returns the rejected commands, in order; all others are done.
   * @throws KernelError if the kernel cannot be asked. Earlier commands are done.
   */
  pipeline<Command>(
    commands: Iterable<Command>,
    write: (message: MessageWriter, seq: number, command: Command) => void,
  ): Promise<readonly RejectedRequest<Command>[]> {
    this.#pipeline ??= new Pipeline(this.#transport, () => this.#seq++, this.#writerOptions);
    return this.#pipeline.send(commands, write);
  }

  /**
   * Begins several messages that go out as one datagram: `endBatch`, then `sendBatch`.
   * @param bytes expected size of a large batch, which gets a buffer of its own. Other batches share one buffer, so
   * there can be one of them at a time.
   */
  beginBatch(bytes?: number): { readonly message: MessageWriter; readonly firstSeq: number } {
    if (bytes !== undefined) {
      return { message: new MessageWriter(bytes, this.#writerOptions), firstSeq: this.#seq };
    }
    this.#batch ??= new MessageWriter(undefined, this.#writerOptions);
    this.#batch.reset();
    return { message: this.#batch, firstSeq: this.#seq };
  }

  /** Takes the sequence numbers of a batch of `count` messages. The next batch may begin while this one is sent. */
  endBatch(count: number): void {
    this.#seq += count;
  }

  /**
   * Sends a batch. The bytes must not change until the kernel has answered.
   * @returns the rejected messages, in order.
   */
  async sendBatch(bytes: Uint8Array<ArrayBuffer>): Promise<readonly Acknowledgement[]> {
    await this.#transport.send(bytes);
    return readRejections(this.#transport);
  }

  /** Frees the buffer of a batch now. The garbage collector would keep megabytes until its next run. */
  releaseBatch(bytes: Uint8Array<ArrayBuffer>): void {
    bytes.buffer.transfer(0);
    // It may have been the shared buffer.
    this.#batch = undefined;
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  #write(operation: string, write: WriteMessage, flags: number, problem: string): number {
    const seq = this.#seq++;
    this.#request.reset();
    write(this.#request, seq);
    const [header] = messages(this.#request.bytes());
    if (header === undefined) throw new TypeError(`${operation}: nothing was written to send`);
    if ((header.flags & flags) !== flags) throw new TypeError(`${operation}: ${problem}`);
    return seq;
  }
}
