import {
  endStream,
  FAILED,
  FAILED_AFTER_END,
  sendBytes,
  TransferBuffer,
  WOULD_BLOCK,
} from "../../../../ffi/socket/stream.ts";
import { isAtUrgentByte, passUrgentByte } from "../../../../ffi/socket/urgent_data.ts";
import type { Direction } from "./direction.ts";
import type { PipePool } from "./pipe_pool.ts";

/** State of a direction after `pump`. */
export type Progress =
  /** Nothing to do until the next event. */
  | "waiting"
  /** There is more to do. */
  | "unfinished"
  | Failure;

export type Failure =
  /** The source has failed, and everything that it had received was moved. */
  | "source failed"
  /** The target has failed. */
  | "target failed"
  /** The target has failed, and before that, its own stream had ended. */
  | "target failed after its end";

/** Largest transfer through the buffer while there are many connections, each of which may have one waiting. */
const CROWDED_BYTES = 16 * 1024;
const CROWDED_LIMIT = BigInt(CROWDED_BYTES);

/** Transfers in a row for one direction, before others get their turn. */
const MAX_TRANSFERS = 8;

/**
 * Moves the bytes of connections. At most one buffer, or one pipe, of bytes per direction waits for a target that does
 * not take them; the source is not read meanwhile, so that its sender is slowed down as on a direct connection.
 */
export class Transfer {
  readonly #buffer: TransferBuffer;
  /** True while there are many connections: transfers through the buffer are smaller, to bound the memory. */
  isCrowded = false;
  readonly #pipes: PipePool | undefined;
  readonly #pipeLimit: bigint;

  /** @param pipes undefined to copy all bytes. */
  constructor(bufferBytes: number, pipes: PipePool | undefined) {
    this.#buffer = new TransferBuffer(bufferBytes);
    this.#pipes = pipes;
    this.#pipeLimit = BigInt(pipes?.capacity ?? 0);
  }

  /** Moves what can be moved now. Passes on the end of the stream. */
  pump(direction: Direction): Progress {
    for (let count = 0; count < MAX_TRANSFERS; count++) {
      if (direction.isBlocked) return "waiting";
      const result = direction.pending !== undefined ? this.#sendPending(direction) : this.#move(direction);
      if (result !== "unfinished") return result;
    }
    return "unfinished";
  }

  /** Frees what a direction holds, when its connection ends. */
  release(direction: Direction): void {
    direction.pending = undefined;
    if (direction.pipe !== undefined) this.#pipes?.giveBack(direction.pipe);
    direction.pipe = undefined;
  }

  #move(direction: Direction): Progress {
    if (direction.pipe !== undefined && direction.pipe.length > 0) {
      return this.#drainPipe(direction, direction.pipe);
    }
    if (direction.isAtEnd) return this.#end(direction);
    if (!direction.isReadable) {
      this.release(direction);
      return "waiting";
    }
    if (direction.isUrgent) return this.#copyWithUrgentByte(direction);
    return direction.isBulk ? this.#fillPipe(direction) : this.#copy(direction);
  }

  #copyWithUrgentByte(direction: Direction): Progress {
    if (isAtUrgentByte(direction.source)) {
      const sent = passUrgentByte(direction.source, direction.target);
      if (sent < WOULD_BLOCK) return targetFailure(sent);
      direction.isBlocked = sent === WOULD_BLOCK;
      if (direction.isBlocked) return "unfinished";
      direction.moved += sent;
    }
    return this.#copy(direction);
  }

  #copy(direction: Direction): Progress {
    const limit = this.isCrowded ? CROWDED_BYTES : this.#buffer.capacity;
    const count = this.#buffer.receive(direction.source, this.isCrowded ? CROWDED_LIMIT : undefined);
    if (count <= 0) return this.#nothing(direction, count);
    if (count < limit) direction.isReadable = direction.isHungUp || direction.isUrgent;
    else if (this.#pipes !== undefined) direction.isBulk = true;
    const sent = this.#buffer.send(direction.target, count);
    if (sent < WOULD_BLOCK) return targetFailure(sent);
    const taken = Math.max(sent, 0);
    direction.moved += taken;
    if (taken < count) {
      direction.pending = this.#buffer.copy(taken, count);
      direction.isBlocked = true;
    }
    return "unfinished";
  }

  #sendPending(direction: Direction): Progress {
    const { pending } = direction;
    if (pending === undefined) return "unfinished";
    const sent = sendBytes(direction.target, pending);
    if (sent < WOULD_BLOCK) return targetFailure(sent);
    const taken = Math.max(sent, 0);
    direction.moved += taken;
    direction.isBlocked = taken < pending.length;
    direction.pending = direction.isBlocked ? pending.subarray(taken) : undefined;
    return "unfinished";
  }

  #fillPipe(direction: Direction): Progress {
    const pipe = direction.pipe ??= this.#pipes?.take();
    if (pipe === undefined) {
      direction.isBulk = false;
      return "unfinished";
    }
    const count = pipe.fill(direction.source, this.#pipeLimit);
    if (count > 0) return this.#drainPipe(direction, pipe);
    if (count === WOULD_BLOCK && !direction.isHungUp) return this.#nothing(direction, count);
    // Before urgent data, splice reports the end or the error of the stream too early (tcp_splice_read in
    // net/ipv4/tcp.c), so that reading has to confirm it.
    direction.isCut ||= count === FAILED;
    direction.isUrgent = true;
    return "unfinished";
  }

  #drainPipe(direction: Direction, pipe: NonNullable<Direction["pipe"]>): Progress {
    const count = pipe.drain(direction.target);
    if (count < WOULD_BLOCK) return targetFailure(count);
    if (count > 0) direction.moved += count;
    else direction.isBlocked = true;
    return "unfinished";
  }

  /** Handles a read without bytes. */
  #nothing(direction: Direction, count: number): Progress {
    if (count === 0 && !direction.isCut) {
      direction.isAtEnd = true;
      return "unfinished";
    }
    // After a hang-up, a read returns bytes, the end or an error. Anything else would be waited for forever.
    if (count !== WOULD_BLOCK || direction.isHungUp) {
      direction.isCut = true;
      this.release(direction);
      return "source failed";
    }
    direction.isReadable = false;
    return "unfinished";
  }

  #end(direction: Direction): Progress {
    this.release(direction);
    direction.isReadable = false;
    if (!direction.isDone) endStream(direction.target);
    direction.isDone = true;
    return "waiting";
  }
}

export function hasFailed(progress: Progress): progress is Failure {
  return progress !== "waiting" && progress !== "unfinished";
}

function targetFailure(result: number): Failure {
  return result === FAILED_AFTER_END ? "target failed after its end" : "target failed";
}
