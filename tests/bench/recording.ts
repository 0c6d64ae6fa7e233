import { NFNL_MSG_BATCH_BEGIN } from "../../backends/nf_tables/constants.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { collectBatchErrors } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";

/** The batches that a backend sends, so that they can be sent again, prepared. */
export class Recording {
  /** Copying costs time, so not while that is measured. */
  isOn = false;
  #batches: Uint8Array<ArrayBuffer>[] = [];

  /** Opens a socket that is recorded. */
  readonly open = (receiveBuffer?: number): NetlinkTransport => new RecordedSocket(this, receiveBuffer);

  add(message: Uint8Array<ArrayBuffer>): void {
    if (!this.isOn) return;
    for (const { type } of messages(message)) {
      if (type === NFNL_MSG_BATCH_BEGIN) this.#batches.push(message.slice());
      return;
    }
  }

  /** What was sent since the last time. */
  take(): readonly Uint8Array<ArrayBuffer>[] {
    const batches = this.#batches;
    this.#batches = [];
    return batches;
  }
}

/** Milliseconds that the kernel takes for batches that need no more than to be sent. */
export async function sendPrepared(batches: readonly Uint8Array<ArrayBuffer>[]): Promise<number> {
  const longest = Math.max(...batches.map(({ length }) => length));
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, { sendBuffer: longest + 4096 });
  const started = performance.now();
  for (const batch of batches) {
    if (batch.length > LARGE_BYTES) await socket.sendLarge(batch);
    else socket.send(batch);
  }
  const taken = performance.now() - started;
  const [error] = collectBatchErrors(socket);
  if (error !== undefined) throw new Error(`the prepared batch was refused: errno ${error.errno}`);
  return taken;
}

/** As the backends do: from here on off the main thread. */
const LARGE_BYTES = 256 * 1024;

class RecordedSocket implements NetlinkTransport {
  readonly #recording: Recording;
  readonly #socket: NetlinkSocket;

  constructor(recording: Recording, receiveBuffer: number | undefined) {
    this.#recording = recording;
    this.#socket = NetlinkSocket.open(
      NETLINK_NETFILTER,
      receiveBuffer === undefined ? {} : { receiveBuffer },
    );
  }

  get portId(): number {
    return this.#socket.portId;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#recording.add(message);
    this.#socket.send(message);
  }

  async sendLarge(message: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#recording.add(message);
    await this.#socket.sendLarge(message);
  }

  receive = () => this.#socket.receive();
  readable = (timeoutMs: number) => this.#socket.readable(timeoutMs);
  joinGroup = (group: number) => this.#socket.joinGroup(group);
  leaveGroup = (group: number) => this.#socket.leaveGroup(group);
  [Symbol.dispose] = () => this.#socket[Symbol.dispose]();
}
