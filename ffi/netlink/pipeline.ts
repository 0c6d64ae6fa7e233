import { readRejections } from "./exchange.ts";
import type { Acknowledgement } from "./reader.ts";
import type { NetlinkTransport } from "./transport.ts";
import { MessageWriter, type MessageWriterOptions } from "./writer.ts";

/** A command of a pipeline that the kernel rejected, and its answer. */
export interface RejectedRequest<Command> {
  readonly command: Command;
  readonly answer: Acknowledgement;
}

/**
 * Requests per datagram. The receive buffer must hold the rejections of all of them, about 1 KiB each. More requests
 * per datagram save nothing measurable.
 */
const REQUESTS_PER_DATAGRAM = 256;
const DATAGRAM_BYTES = 64 * 1024;

/**
 * Sends independent requests in order, many per datagram. The kernel accepts or rejects each by itself. They go
 * without NLM_F_ACK, because the kernel always answers rejections, and does so before the sending call returns.
 * The next datagram is written while the kernel processes the one before.
 */
export class Pipeline {
  readonly #transport: NetlinkTransport;
  readonly #nextSeq: () => number;
  readonly #writerOptions: MessageWriterOptions;
  readonly #writer: MessageWriter;
  #spare: MessageWriter | undefined;

  /**
   * @param transport must not be used by others while requests are in flight, and be in no multicast group.
   * @param nextSeq returns consecutive numbers.
   */
  constructor(transport: NetlinkTransport, nextSeq: () => number, writerOptions: MessageWriterOptions = {}) {
    this.#transport = transport;
    this.#nextSeq = nextSeq;
    this.#writerOptions = writerOptions;
    this.#writer = new MessageWriter(DATAGRAM_BYTES, writerOptions);
  }

  /**
   * @param commands read as they are sent, so that they need not all be in memory.
   * @param write writes one message with this nlmsg_seq.
   * @returns the rejected commands, in order; all others are done.
   * @throws KernelError if the kernel cannot be asked. Earlier commands are done.
   */
  async send<Command>(
    commands: Iterable<Command>,
    write: (message: MessageWriter, seq: number, command: Command) => void,
  ): Promise<readonly RejectedRequest<Command>[]> {
    const rejected: RejectedRequest<Command>[] = [];
    let inFlight: Promise<void> = Promise.resolve();
    let writer = this.#writer;
    let written: Command[] = [];
    let firstSeq = 0;
    writer.reset();
    try {
      for (const command of commands) {
        if (written.length === REQUESTS_PER_DATAGRAM) {
          await inFlight;
          inFlight = this.#sendDatagram(writer, written, firstSeq, rejected);
          // Awaited later; a rejected promise must not end the process until then.
          inFlight.catch(() => {});
          writer = this.#otherThan(writer);
          written = [];
        }
        const seq = this.#nextSeq();
        if (written.length === 0) firstSeq = seq;
        written.push(command);
        write(writer, seq, command);
      }
    } finally {
      // Also after an error of `commands` or `write`: others may use the socket only when the kernel has answered.
      await inFlight;
    }
    if (written.length > 0) await this.#sendDatagram(writer, written, firstSeq, rejected);
    this.#spare = undefined;
    return rejected;
  }

  async #sendDatagram<Command>(
    writer: MessageWriter,
    written: readonly Command[],
    firstSeq: number,
    rejected: RejectedRequest<Command>[],
  ): Promise<void> {
    await this.#transport.send(writer.bytes());
    for (const answer of readRejections(this.#transport)) {
      const command = written[answer.seq - firstSeq];
      // Undefined: the rest of an earlier exchange that failed half-way.
      if (command !== undefined) rejected.push({ command, answer });
    }
  }

  #otherThan(writer: MessageWriter): MessageWriter {
    const other = writer === this.#writer
      ? this.#spare ??= new MessageWriter(DATAGRAM_BYTES, this.#writerOptions)
      : this.#writer;
    other.reset();
    return other;
  }
}
