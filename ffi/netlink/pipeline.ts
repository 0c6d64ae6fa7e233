import type { Acknowledgement } from "./reader.ts";
import { collectBatchErrors } from "./request.ts";
import type { NetlinkTransport } from "./transport.ts";
import { MessageWriter } from "./writer.ts";

/** What the kernel refused of many requests, and what it said. */
export interface Refused<Asked> {
  readonly asked: Asked;
  readonly answer: Acknowledgement;
}

/**
 * A receive buffer holds the refusals of all of them: one takes the kernel about 1 KiB of it. More at a time saves
 * nothing that can be measured.
 */
const PER_DATAGRAM = 256;
const DATAGRAM_BYTES = 64 * 1024;

/**
 * Sends requests that have nothing to do with each other: many in one datagram, in order, each taken or refused by
 * itself. They go without NLM_F_ACK, for the kernel answers what it refuses in any case, and before the call that
 * sends it is back. What is more than one datagram goes off the main thread, and is written while the kernel is busy
 * with the one before.
 */
export class ManyRequests {
  readonly #transport: NetlinkTransport;
  readonly #nextSeq: () => number;
  #writer = new MessageWriter(DATAGRAM_BYTES);
  #spare: MessageWriter | undefined;

  /**
   * @param transport for nothing else while requests are under way, and in no multicast group.
   * @param nextSeq numbers that go up by one.
   */
  constructor(transport: NetlinkTransport, nextSeq: () => number) {
    this.#transport = transport;
    this.#nextSeq = nextSeq;
  }

  /**
   * @param write writes one message with this nlmsg_seq.
   * @returns what was refused, in order; everything else is done.
   * @throws KernelError when the kernel cannot be asked. What came before is done.
   */
  async send<Asked>(
    all: Iterable<Asked>,
    write: (writer: MessageWriter, asked: Asked, seq: number) => void,
  ): Promise<readonly Refused<Asked>[]> {
    const refused: Refused<Asked>[] = [];
    let underWay: Promise<void> = Promise.resolve();
    let writer = this.#writer;
    let asked: Asked[] = [];
    let firstSeq = 0;
    writer.reset();
    try {
      for (const one of all) {
        if (asked.length === PER_DATAGRAM) {
          await underWay;
          underWay = this.#sendOffThread(writer, asked, firstSeq, refused);
          // It is awaited later, and must not end the process until then.
          underWay.catch(() => {});
          writer = this.#otherThan(writer);
          asked = [];
        }
        const seq = this.#nextSeq();
        if (asked.length === 0) firstSeq = seq;
        asked.push(one);
        write(writer, one, seq);
      }
    } finally {
      // Whatever ended the writing: the socket is free for others only when the kernel has answered.
      await underWay;
    }
    if (asked.length > 0) {
      this.#transport.send(writer.bytes());
      this.#collect(asked, firstSeq, refused);
    }
    this.#spare = undefined;
    return refused;
  }

  async #sendOffThread<Asked>(
    writer: MessageWriter,
    asked: readonly Asked[],
    firstSeq: number,
    refused: Refused<Asked>[],
  ): Promise<void> {
    await this.#transport.sendLarge(writer.bytes());
    this.#collect(asked, firstSeq, refused);
  }

  #collect<Asked>(asked: readonly Asked[], firstSeq: number, refused: Refused<Asked>[]): void {
    for (const answer of collectBatchErrors(this.#transport)) {
      const one = asked[answer.seq - firstSeq];
      // Else it is what is left of an exchange that failed half-way.
      if (one !== undefined) refused.push({ asked: one, answer });
    }
  }

  #otherThan(writer: MessageWriter): MessageWriter {
    const other = writer === this.#writer ? this.#spare ??= new MessageWriter(DATAGRAM_BYTES) : this.#writer;
    other.reset();
    return other;
  }
}
