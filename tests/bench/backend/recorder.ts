import { NLM_F_ACK, NLM_F_DUMP } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { readRejections } from "../../../ffi/netlink/exchange.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { NetlinkSocketOptions, NetlinkTransport, OpenNetlink } from "../../../ffi/netlink/transport.ts";

/** Bytes that a backend sent in one system call. */
export interface SentBytes {
  /** Netlink protocol: NETLINK_NETFILTER, … */
  readonly protocol: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Records the changes that a backend sends, so that they can be sent again. */
export class Recorder {
  /** Off while times are measured, because copying takes time. */
  isOn = false;
  #sent: SentBytes[] = [];

  /** Opens a socket whose messages are recorded. */
  readonly open: OpenNetlink = (protocol, options) => new RecordedSocket(this, protocol, options);

  add({ protocol, bytes }: SentBytes): void {
    if (!this.isOn) return;
    const [first] = messages(bytes);
    if (first !== undefined && !isRequest(first.flags)) this.#sent.push({ protocol, bytes: bytes.slice() });
  }

  /** Returns everything recorded since the previous call. */
  take(): readonly SentBytes[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }
}

/** Reports whether a message expects a reply. Changes are sent without these flags; the kernel reports errors anyway. */
function isRequest(flags: number): boolean {
  return (flags & NLM_F_ACK) !== 0 || (flags & NLM_F_DUMP) === NLM_F_DUMP;
}

/** Sends recorded changes. Returns the time in milliseconds. */
export async function sendPrepared(changes: readonly SentBytes[]): Promise<number> {
  const maxBytes = Math.max(...changes.map(({ bytes }) => bytes.length));
  const protocols = [...new Set(changes.map(({ protocol }) => protocol))];
  using sockets = new DisposableStack();
  const socketOf = new Map(
    protocols.map((protocol) =>
      [protocol, sockets.use(NetlinkSocket.open(protocol, { sendBuffer: maxBytes + 4096 }))] as const
    ),
  );
  const started = performance.now();
  for (const { protocol, bytes } of changes) await socketOf.get(protocol)?.send(bytes);
  const duration = performance.now() - started;
  for (const socket of socketOf.values()) {
    const [error] = readRejections(socket);
    if (error !== undefined) throw new Error(`the kernel rejected a recorded change: errno ${error.errno}`);
  }
  return duration;
}

class RecordedSocket implements NetlinkTransport {
  readonly #recorder: Recorder;
  readonly #protocol: number;
  readonly #socket: NetlinkSocket;

  constructor(recorder: Recorder, protocol: number, options?: NetlinkSocketOptions) {
    this.#recorder = recorder;
    this.#protocol = protocol;
    this.#socket = NetlinkSocket.open(protocol, options);
  }

  get portId(): number {
    return this.#socket.portId;
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#recorder.add({ protocol: this.#protocol, bytes });
    await this.#socket.send(bytes);
  }

  receive = () => this.#socket.receive();
  receiveOfDump = (isLarge: boolean) => this.#socket.receiveOfDump(isLarge);
  readable = (timeoutMs: number) => this.#socket.readable(timeoutMs);
  joinGroup = (group: number) => this.#socket.joinGroup(group);
  leaveGroup = (group: number) => this.#socket.leaveGroup(group);
  [Symbol.dispose] = () => this.#socket[Symbol.dispose]();
}
