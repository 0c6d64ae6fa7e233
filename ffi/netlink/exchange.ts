import { explainNetAdminDenial } from "../system/capabilities.ts";
import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { TimeSlice } from "../time_slice.ts";
import { NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from "./constants.ts";
import { type Acknowledgement, acknowledgement, messages, type NetlinkMessage } from "./reader.ts";
import type { NetlinkTransport } from "./transport.ts";
import type { MessageWriter } from "./writer.ts";

/** The kernel answers a request before `send` resolves. Only a broken kernel reaches this limit. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Receives one message of an answer. The next one is read when the promise resolves, if there is one. */
export type Visit = (message: NetlinkMessage) => Promise<void> | void;

export interface ExchangeOptions {
  /** The request has NLM_F_DUMP. */
  readonly isDump?: boolean;
  /** For tables of unknown size: lets other work run between the answers. */
  readonly inBackground?: boolean;
}

/**
 * Sends the request in `message` and reads until the end of the answer: an acknowledgement or NLMSG_DONE.
 * @returns interrupted: the table changed during the dump.
 * @throws KernelError if the kernel rejects the request.
 */
export async function exchange(
  transport: NetlinkTransport,
  message: MessageWriter,
  seq: number,
  operation: string,
  visit: Visit,
  { isDump = false, inBackground = false }: ExchangeOptions = {},
): Promise<{ interrupted: boolean }> {
  await transport.send(message.bytes());
  let interrupted = false;
  const slice = new TimeSlice();
  while (true) {
    if (inBackground && slice.isOver) await slice.next();
    const datagram = isDump ? await transport.receiveOfDump(inBackground) : transport.receive();
    if (datagram === undefined) {
      if (await transport.readable(ANSWER_TIMEOUT_MS)) continue;
      throw new KernelError(operation, errnoOf("ETIMEDOUT"), { extack: "the kernel did not answer" });
    }
    let ended = false;
    for (const answer of messages(datagram)) {
      // Skips the rest of an earlier exchange that failed half-way.
      if (answer.seq !== seq) continue;
      if ((answer.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (answer.type === NLMSG_ERROR || answer.type === NLMSG_DONE) {
        const end = acknowledgement(answer);
        if (end.errno !== 0) throw rejectionError(operation, end);
        ended = true;
      } else {
        const pause = visit(answer);
        if (pause !== undefined) await pause;
      }
    }
    if (ended) return { interrupted };
  }
}

/**
 * Reads everything that waits on the transport after a datagram of several messages was sent.
 * @returns the rejected messages, in order; none if the kernel accepted all of them. If there are more than the receive
 * buffer holds, those that fit.
 * @throws KernelError ENOBUFS if none fit.
 */
export function readRejections(transport: NetlinkTransport): Acknowledgement[] {
  const rejections: Acknowledgement[] = [];
  let overflow: KernelError | undefined;
  while (true) {
    let datagram: Uint8Array | undefined;
    try {
      datagram = transport.receive();
    } catch (error) {
      // Messages from before the overflow must be read, or the next batch would find them.
      if (!(error instanceof KernelError) || error.errnoName !== "ENOBUFS" || overflow !== undefined) {
        throw error;
      }
      overflow = error;
      continue;
    }
    if (datagram === undefined) break;
    for (const message of messages(datagram)) {
      if (message.type !== NLMSG_ERROR) continue;
      const answer = acknowledgement(message);
      if (answer.errno !== 0) rejections.push(answer);
    }
  }
  if (overflow !== undefined && rejections.length === 0) throw overflow;
  return rejections;
}

/** A rejection whose cause the caller may know. */
export interface Rejected extends Acknowledgement {
  /** The cause and what to do, a full sentence. */
  readonly advice?: string;
}

/** Makes the error for a request that the kernel rejected. */
export function rejectionError(operation: string, { errno, extack, advice }: Rejected): KernelError {
  if (advice !== undefined || errno !== errnoOf("EPERM")) {
    return new KernelError(operation, errno, { extack, advice });
  }
  return new KernelError(operation, errno, { extack, advice: explainNetAdminDenial() });
}
