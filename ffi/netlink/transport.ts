export interface NetlinkSocketOptions {
  /** Bytes; grows to what a message needs. */
  readonly sendBuffer?: number;
  /** Bytes of unread datagrams before the kernel drops them. A listener of a busy group needs many. */
  readonly receiveBuffer?: number;
}

/** Opens a netlink socket: `NetlinkSocket.open`, or the fake of a test. */
export type OpenNetlink = (protocol: number, options?: NetlinkSocketOptions) => NetlinkTransport;

/** A netlink socket that sends and receives datagrams. Tests replace it with a fake. */
export interface NetlinkTransport extends Disposable {
  /** Address of the socket. The kernel puts it in nlmsg_pid of notifications about the changes of this socket. */
  readonly portId: number;

  /**
   * Sends one datagram of one or more messages. The kernel has processed them when the promise resolves. Until then
   * the bytes must not change.
   *
   * Never on the main thread, however small the datagram is: the kernel processes it within the system call, and first
   * waits for its mutexes. Another program's nf_tables transaction holds one for seconds.
   * @throws KernelError
   */
  send(message: Uint8Array<ArrayBuffer>): Promise<void>;

  /**
   * Receives one datagram of the answer to a dump request. Reading one makes the kernel write the next one, for which
   * it may wait for a mutex, so this does not block the main thread either.
   * @param isLarge writing a datagram may take the kernel milliseconds, even without a mutex.
   * @throws KernelError
   */
  receiveOfDump(isLarge: boolean): Promise<Uint8Array<ArrayBuffer> | undefined>;

  /**
   * Receives one datagram, which the caller may keep; undefined if none is pending. Does not wait.
   * @throws KernelError, ENOBUFS if the kernel dropped datagrams because the receive buffer was full.
   */
  receive(): Uint8Array<ArrayBuffer> | undefined;

  /**
   * Waits until `receive` has a datagram or an error.
   * @param timeoutMs -1 for no limit.
   * @returns false after the timeout, or if the socket was closed.
   */
  readable(timeoutMs: number): Promise<boolean>;

  /** Subscribes to a multicast group by its number (NFNLGRP_NFTABLES), which is not its bit. */
  joinGroup(group: number): void;
  leaveGroup(group: number): void;
}
