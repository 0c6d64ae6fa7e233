export interface NetlinkSocketOptions {
  /** Bytes; grows to what a message needs. */
  readonly sendBuffer?: number;
  /** Bytes of unread datagrams before the kernel drops them. A listener of a busy group needs many. */
  readonly receiveBuffer?: number;
}

/** Opens a netlink socket: `NetlinkSocket.open`, or the fake of a test. */
export type OpenNetlink = (protocol: number, options?: NetlinkSocketOptions) => NetlinkTransport;

/**
 * A netlink socket as codecs and backends see it: datagrams in, datagrams out. The seam between them and the kernel:
 * tests put a fake here.
 */
export interface NetlinkTransport extends Disposable {
  /** Our address; the kernel puts it in nlmsg_pid of what we caused, so that own changes can be told from others'. */
  readonly portId: number;

  /**
   * Sends one datagram of one or more messages. The kernel has processed it when this returns.
   * @throws KernelError
   */
  send(message: Uint8Array<ArrayBuffer>): void;

  /** The same off the main thread, for what takes the kernel long. The bytes must stay as they are until it is done. */
  sendLarge(message: Uint8Array<ArrayBuffer>): Promise<void>;

  /**
   * One datagram, the caller's to keep; undefined when there is none now.
   * @throws KernelError, with errnoName "ENOBUFS" when the kernel dropped datagrams because we read too slowly.
   */
  receive(): Uint8Array<ArrayBuffer> | undefined;

  /** Waits until `receive` has something to say, at most `timeoutMs` (-1: for ever); false when it has not. */
  readable(timeoutMs: number): Promise<boolean>;

  /** Subscribes to a multicast group by its number (NFNLGRP_NFTABLES, not its bit). */
  joinGroup(group: number): void;
  leaveGroup(group: number): void;
}
