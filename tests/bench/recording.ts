import { NLM_F_ACK, NLM_F_DUMP } from "../../ffi/netlink/constants.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { readRejections } from "../../ffi/netlink/exchange.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkSocketOptions, NetlinkTransport, OpenNetlink } from "../../ffi/netlink/transport.ts";

/** What a backend sent in one system call. */
export interface Sent {
  /** Of netlink: NETLINK_NETFILTER, … */
  readonly protocol: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The changes that a backend sends, so that they can be sent again, prepared. */
export class Recording {
  /** Copying costs time, so not while that is measured. */
  isOn = false;
  #sent: Sent[] = [];

  /** Opens a socket that is recorded. */
  readonly open: OpenNetlink = (protocol, options) => new RecordedSocket(this, protocol, options);

  add({ protocol, bytes }: Sent): void {
    if (!this.isOn) return;
    const [first] = messages(bytes);
    if (first !== undefined && !asks(first.flags)) this.#sent.push({ protocol, bytes: bytes.slice() });
  }

  /** What was sent since the last time. */
  take(): readonly Sent[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }
}

/** Changes are sent without: what the kernel refuses of them it says in any case. */
function asks(flags: number): boolean {
  return (flags & NLM_F_ACK) !== 0 || (flags & NLM_F_DUMP) === NLM_F_DUMP;
}

/** Milliseconds that the kernel takes for changes that need no more than to be sent. */
export async function sendPrepared(changes: readonly Sent[]): Promise<number> {
  const longest = Math.max(...changes.map(({ bytes }) => bytes.length));
  const protocols = [...new Set(changes.map(({ protocol }) => protocol))];
  using sockets = new DisposableStack();
  const socketOf = new Map(
    protocols.map((protocol) =>
      [protocol, sockets.use(NetlinkSocket.open(protocol, { sendBuffer: longest + 4096 }))] as const
    ),
  );
  const started = performance.now();
  for (const { protocol, bytes } of changes) {
    if (bytes.length > LARGE_BYTES) await socketOf.get(protocol)?.sendLarge(bytes);
    else socketOf.get(protocol)?.send(bytes);
  }
  const taken = performance.now() - started;
  for (const socket of socketOf.values()) {
    const [error] = readRejections(socket);
    if (error !== undefined) throw new Error(`what was prepared was refused: errno ${error.errno}`);
  }
  return taken;
}

/** As the backends do: from here on off the main thread. */
const LARGE_BYTES = 256 * 1024;

class RecordedSocket implements NetlinkTransport {
  readonly #recording: Recording;
  readonly #protocol: number;
  readonly #socket: NetlinkSocket;

  constructor(recording: Recording, protocol: number, options?: NetlinkSocketOptions) {
    this.#recording = recording;
    this.#protocol = protocol;
    this.#socket = NetlinkSocket.open(protocol, options);
  }

  get portId(): number {
    return this.#socket.portId;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#recording.add({ protocol: this.#protocol, bytes });
    this.#socket.send(bytes);
  }

  async sendLarge(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#recording.add({ protocol: this.#protocol, bytes });
    await this.#socket.sendLarge(bytes);
  }

  receive = () => this.#socket.receive();
  readable = (timeoutMs: number) => this.#socket.readable(timeoutMs);
  joinGroup = (group: number) => this.#socket.joinGroup(group);
  leaveGroup = (group: number) => this.#socket.leaveGroup(group);
  [Symbol.dispose] = () => this.#socket[Symbol.dispose]();
}
