import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from "./constants.ts";
import { type Acknowledgement, acknowledgement, messages, type NetlinkMessage } from "./reader.ts";
import type { NetlinkTransport } from "./transport.ts";
import type { MessageWriter } from "./writer.ts";

/** The kernel answers a request before `send` returns; only a broken one keeps us waiting. */
const answerTimeoutMs = 10_000;

/** How long an exchange in the background keeps other work waiting. */
const turnMs = 4;

/** How often a dump is tried again when the table changed under it. */
const dumpAttempts = 5;

/**
 * Sends one request (with NLM_F_ACK) and returns what the kernel answered before its acknowledgement.
 * The transport should be in no multicast group: a notification of the own request looks like an answer to it.
 * @param operation in words, for the error: "list tables".
 * @throws KernelError when the kernel refuses.
 */
export async function request(
  transport: NetlinkTransport,
  writer: MessageWriter,
  operation: string,
): Promise<NetlinkMessage[]> {
  const { flags } = requestHeader(writer);
  if ((flags & NLM_F_ACK) === 0) {
    throw new TypeError(`${operation}: a request needs NLM_F_ACK to know its end`);
  }
  const answers: NetlinkMessage[] = [];
  await exchange(transport, writer, operation, (message) => answers.push(message));
  return answers;
}

/**
 * Sends one dump request (with NLM_F_DUMP) and returns all of its answers: a consistent view, so it starts again when
 * the table changed meanwhile.
 * @throws KernelError when the kernel refuses; EINTR when the table keeps changing.
 */
export async function dump(
  transport: NetlinkTransport,
  writer: MessageWriter,
  operation: string,
): Promise<NetlinkMessage[]> {
  for (let attempt = 1; attempt <= dumpAttempts; attempt++) {
    const answers: NetlinkMessage[] = [];
    const { interrupted } = await dumpEach(transport, writer, operation, (message) => answers.push(message));
    if (!interrupted) return answers;
  }
  const extack = `the table changed during each of ${dumpAttempts} attempts to read it`;
  throw new KernelError(operation, errnoOf("EINTR"), { extack });
}

export interface DumpOptions {
  /** For tables of others' size: asks off the main thread and lets other work go on between the answers. */
  readonly inBackground?: boolean;
}

/**
 * The same for large tables: hands over each answer as it comes and keeps none.
 * @returns interrupted: the table changed meanwhile, so something may be missing or be there twice.
 */
export function dumpEach(
  transport: NetlinkTransport,
  writer: MessageWriter,
  operation: string,
  visit: (message: NetlinkMessage) => void,
  options: DumpOptions = {},
): Promise<{ interrupted: boolean }> {
  const { flags } = requestHeader(writer);
  if ((flags & NLM_F_DUMP) !== NLM_F_DUMP) {
    throw new TypeError(`${operation}: a dump request needs NLM_F_DUMP`);
  }
  return exchange(transport, writer, operation, visit, options);
}

/**
 * What the kernel refused of a nfnetlink batch that was just sent, in the order of its messages; empty when it was
 * committed. Reads everything that waits on the transport.
 * When there were more errors than the receive buffer holds, those that fit are returned: the batch as a whole is
 * refused either way.
 * @throws KernelError ENOBUFS when none fit.
 */
export function collectBatchErrors(transport: NetlinkTransport): Acknowledgement[] {
  const errors: Acknowledgement[] = [];
  let overflow: KernelError | undefined;
  while (true) {
    let datagram: Uint8Array | undefined;
    try {
      datagram = transport.receive();
    } catch (error) {
      // What came before the overflow is still to be read, or the next batch would find it.
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
      if (answer.errno !== 0) errors.push(answer);
    }
  }
  if (overflow !== undefined && errors.length === 0) throw overflow;
  return errors;
}

/** The error behind a refusal by the kernel. */
export function refusal(operation: string, { errno, extack }: Acknowledgement): KernelError {
  if (errno !== errnoOf("EPERM")) return new KernelError(operation, errno, { extack });
  const advice =
    "The process lacks CAP_NET_ADMIN in this network namespace. Give it to the unit or the container " +
    "(see docs/operations.md#privileges)";
  return new KernelError(operation, errno, { extack, advice });
}

/** Sends, then reads until the end of the answer: an acknowledgement or NLMSG_DONE. */
async function exchange(
  transport: NetlinkTransport,
  writer: MessageWriter,
  operation: string,
  visit: (message: NetlinkMessage) => void,
  { inBackground = false }: DumpOptions = {},
): Promise<{ interrupted: boolean }> {
  const { seq } = requestHeader(writer);
  if (inBackground) await transport.sendLarge(writer.bytes());
  else transport.send(writer.bytes());
  let interrupted = false;
  let turnStarted = performance.now();
  while (true) {
    if (inBackground && performance.now() - turnStarted > turnMs) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      turnStarted = performance.now();
    }
    const datagram = transport.receive();
    if (datagram === undefined) {
      if (await transport.readable(answerTimeoutMs)) continue;
      throw new KernelError(operation, errnoOf("ETIMEDOUT"), { extack: "the kernel did not answer" });
    }
    let ended = false;
    for (const message of messages(datagram)) {
      // What is left of an earlier exchange that failed half-way.
      if (message.seq !== seq) continue;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        const answer = acknowledgement(message);
        if (answer.errno !== 0) throw refusal(operation, answer);
        ended = true;
      } else visit(message);
    }
    if (ended) return { interrupted };
  }
}

function requestHeader(writer: MessageWriter): { flags: number; seq: number } {
  const [message] = messages(writer.bytes());
  if (message === undefined) throw new TypeError("netlink: nothing was written to send");
  return message;
}
