import { IPPROTO_TCP } from "../inet.ts";
import { SOL_SOCKET } from "../libraries/libc.ts";
import { calls } from "./calls.ts";
import * as c from "./constants.ts";

const number = new Int32Array(new ArrayBuffer(4));
const numberLength = new Uint32Array(new ArrayBuffer(4));
// struct linger { int l_onoff; int l_linger; }
const noLinger = new Int32Array([1, 0]);

/** @returns false if the kernel rejects the value. */
export function setOption(fd: number, level: number, option: number, value: number): boolean {
  number[0] = value;
  return calls.setsockopt(fd, level, option, number, 4) === 0;
}

/** Times of TCP keep-alive probes, in seconds. */
export interface KeepAlive {
  /** Silence before the first probe. */
  readonly idle: number;
  readonly interval: number;
  /** Unanswered probes after which the connection is dead. */
  readonly probes: number;
}

/** Sets what both sides of a relayed connection have. Connections inherit it from their listener. */
export function setConnectionOptions(fd: number, { idle, interval, probes }: KeepAlive): void {
  setOption(fd, IPPROTO_TCP, c.TCP_NODELAY, 1);
  setOption(fd, SOL_SOCKET, c.SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, c.TCP_KEEPIDLE, idle);
  setOption(fd, IPPROTO_TCP, c.TCP_KEEPINTVL, interval);
  setOption(fd, IPPROTO_TCP, c.TCP_KEEPCNT, probes);
}

/** Returns the pending error of a socket and clears it; 0 for none. */
export function takeError(fd: number): number {
  numberLength[0] = 4;
  number[0] = 0;
  calls.getsockopt(fd, SOL_SOCKET, c.SO_ERROR, number, numberLength);
  return number[0] ?? 0;
}

/** Returns the number of bytes that a TCP socket has sent or will send, and that its peer has not acknowledged. */
export function unacknowledgedBytes(fd: number): number {
  return queueLength(fd, c.TIOCOUTQ);
}

/** Returns the number of bytes that a TCP socket has received and that were not read. */
export function unreadBytes(fd: number): number {
  return queueLength(fd, c.FIONREAD);
}

/** Closes a connection with a reset (RST) instead of an orderly end (FIN). */
export function reset(fd: number): void {
  calls.setsockopt(fd, SOL_SOCKET, c.SO_LINGER, noLinger, 8);
  calls.close(fd);
}

function queueLength(fd: number, operation: number): number {
  number[0] = 0;
  calls.ioctl(fd, BigInt(operation), number);
  return number[0] ?? 0;
}
