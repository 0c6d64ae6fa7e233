import type { Pipe } from "../../../../ffi/socket/pipe.ts";

/** One direction of a connection: from the client to the endpoint, or back. */
export class Direction {
  /** Socket that the bytes come from. */
  source = -1;
  /** Socket that the bytes go to. */
  target = -1;
  /** The source may have bytes, or its end. */
  isReadable = false;
  /** The source has ended or failed, so that reading it always has a result. */
  isHungUp = false;
  /** The source has failed. Reading it reports this only once, and then looks like the end of the stream. */
  isCut = false;
  /** The source may have urgent data. A read stops before it, and splice stops for good. */
  isUrgent = false;
  /** The end of the source was read. */
  isAtEnd = false;
  /** The end was passed on. */
  isDone = false;
  /** The target's socket buffer is full. */
  isBlocked = false;
  /** A transfer filled the buffer, so that it is worth a pipe. */
  isBulk = false;
  /** Bytes that were received and not sent, because the target was blocked. */
  pending: Uint8Array<ArrayBuffer> | undefined;
  pipe: Pipe | undefined;
  /** Bytes moved and not yet added to the counters of the service. */
  moved = 0;
}
