import { MSG_NOSIGNAL } from "../libraries/libc.ts";
import { calls } from "./calls.ts";
import { MSG_OOB, MSG_PEEK, SIOCATMARK } from "./constants.ts";
import { sendFailure } from "./stream.ts";

const byte = new Uint8Array(new ArrayBuffer(1));
const isAtMark = new Int32Array(new ArrayBuffer(4));

/** Reports whether the next byte of a stream is urgent (TCP_URG). Reading skips it. */
export function isAtUrgentByte(fd: number): boolean {
  isAtMark[0] = 0;
  calls.ioctl(fd, BigInt(SIOCATMARK), isAtMark);
  return isAtMark[0] !== 0;
}

/**
 * Sends the urgent byte of one stream as the urgent byte of another.
 * @returns 1; 0 if it was sent before or has not arrived; otherwise as `sendBytes`.
 */
export function passUrgentByte(source: number, target: number): number {
  if (calls.recv(source, byte, 1n, MSG_OOB | MSG_PEEK) !== 1) return 0;
  if (calls.send(target, byte, 1n, MSG_OOB | MSG_NOSIGNAL) !== 1) return sendFailure();
  return calls.recv(source, byte, 1n, MSG_OOB);
}
