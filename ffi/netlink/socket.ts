import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  libc,
  POLLIN,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_NETLINK,
  SOL_SOCKET,
} from "../libraries/libc.ts";
import { errnoOf } from "../errno.ts";
import {
  KernelError,
  type KernelErrorDetails,
  libnlError,
  NLE_AGAIN,
  NLE_FAILURE,
  NLE_NOMEM,
  NLE_PROTO_MISMATCH,
} from "../errors.ts";
import { libnl } from "../libraries/libnl.ts";
import { CallMemory, copyOf, PointerSlot, returned } from "../memory.ts";
import {
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
} from "./constants.ts";
import type { NetlinkSocketOptions, NetlinkTransport } from "./transport.ts";

const DEFAULT_SEND_BUFFER_BYTES = 256 * 1024;
const DEFAULT_RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** Maximum size of a received datagram. Dump datagrams have at most 32 KB, and acknowledgements are capped. */
const MAX_DATAGRAM_BYTES = 64 * 1024;

/** netlink_sendmsg() rejects messages longer than sk_sndbuf minus this. net/netlink/af_netlink.c */
const SEND_BUFFER_OVERHEAD = 32;

const PROTOCOL_NAMES = new Map([
  [NETLINK_ROUTE, "NETLINK_ROUTE"],
  [NETLINK_SOCK_DIAG, "NETLINK_SOCK_DIAG"],
  [NETLINK_NETFILTER, "NETLINK_NETFILTER"],
  [NETLINK_GENERIC, "NETLINK_GENERIC"],
]);

/** Netlink protocols that can be a kernel module. */
const PROTOCOL_MODULES = new Map([[NETLINK_NETFILTER, "nfnetlink"]]);

/** System calls, besides that of `send`, in which the kernel waits for a mutex that other programs hold. */
interface ProtocolLocks {
  readonly receiveOfDump: boolean;
  readonly close: boolean;
}

const NO_LOCKS: ProtocolLocks = { receiveOfDump: false, close: false };
const PROTOCOL_LOCKS = new Map<number, ProtocolLocks>([
  // Closing takes the commit mutex of nf_tables, to remove the tables that the socket owns (nft_rcv_nl_event). Dumps
  // are read under RCU.
  [NETLINK_NETFILTER, { receiveOfDump: false, close: true }],
  [NETLINK_ROUTE, { receiveOfDump: true, close: false }], // rtnl_mutex
  [NETLINK_GENERIC, { receiveOfDump: true, close: false }], // genl_mutex
]);

/** A netlink socket over libnl, in the network namespace of the calling thread. */
export class NetlinkSocket implements NetlinkTransport {
  readonly portId: number;
  readonly #socket: Deno.PointerObject;
  readonly #fd: number;
  /** An eventfd that ends `readable` when the socket is closed. */
  readonly #wake: number;
  readonly #protocol: string;
  readonly #locks: ProtocolLocks;
  /** The results of nl_recv. */
  readonly #memory: CallMemory;
  readonly #received: PointerSlot;
  readonly #sender: Uint32Array<ArrayBuffer>; // struct sockaddr_nl { u16 family, pad; u32 nl_pid, nl_groups; }
  /** Size of the send buffer as the kernel counts it: twice the requested size. */
  #sendBufferBytes = 0;
  /** Number of calls off the main thread that use the socket. It must not be freed before they return. */
  #inFlight = 0;
  #closed = false;

  /** @throws KernelError if the kernel lacks the protocol, LibraryError if libnl cannot be loaded. */
  static open(protocol: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
    const name = PROTOCOL_NAMES.get(protocol) ?? `netlink protocol ${protocol}`;
    const operation = `open a ${name} socket`;
    const socket = libnl().nl_socket_alloc();
    if (socket === null) throw new KernelError(operation, errnoOf("ENOMEM"));
    try {
      const code = libnl().nl_connect(socket, protocol);
      check(operation, code, code === -NLE_PROTO_MISMATCH ? missingProtocol(protocol) : undefined);
      check(operation, libnl().nl_socket_set_nonblocking(socket));
      // With a fixed size, nl_recv does not read each datagram twice to learn its size first.
      check(operation, libnl().nl_socket_set_msg_buf_size(socket, BigInt(MAX_DATAGRAM_BYTES)));
      return new NetlinkSocket(socket, name, PROTOCOL_LOCKS.get(protocol) ?? NO_LOCKS, options);
    } catch (error) {
      libnl().nl_socket_free(socket);
      throw error;
    }
  }

  private constructor(
    socket: Deno.PointerObject,
    protocol: string,
    locks: ProtocolLocks,
    options: NetlinkSocketOptions,
  ) {
    this.#socket = socket;
    this.#protocol = protocol;
    this.#locks = locks;
    this.#fd = libnl().nl_socket_get_fd(socket);
    this.portId = libnl().nl_socket_get_local_port(socket);
    this.#wake = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.#wake < 0) throw new KernelError(`open a ${protocol} socket: eventfd`, errnoOf("EMFILE"));

    this.#memory = new CallMemory(20);
    this.#received = new PointerSlot(new BigUint64Array(this.#memory.buffer, 0, 1));
    this.#sender = new Uint32Array(this.#memory.buffer, 8, 3);

    // Old kernels lack these options. Their errors then have no text, and contain the whole rejected message.
    setOption(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    setOption(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    this.#setSendBuffer(options.sendBuffer ?? DEFAULT_SEND_BUFFER_BYTES);
    const receiveBuffer = options.receiveBuffer ?? DEFAULT_RECEIVE_BUFFER_BYTES;
    // The FORCE options ignore net.core.[rw]mem_max and need CAP_NET_ADMIN. The others are capped silently.
    if (!setOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer)) {
      setOption(this.#fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer);
    }
  }

  async send(message: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#prepareSend(message.length);
    const sent = await this.#offThread(() =>
      returned(libnl().nl_sendto(this.#socket, message, BigInt(message.length)), message)
    );
    this.#checkSend(sent, message.length);
  }

  receive(): Uint8Array<ArrayBuffer> | undefined {
    this.#assertOpen(this.#receiving);
    while (true) {
      const datagram = this.#take(
        libnl().nl_recv(this.#socket, this.#sender, this.#received.argument, null),
      );
      if (datagram !== "of another process") return datagram;
    }
  }

  async receiveOfDump(isLarge: boolean): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (!this.#locks.receiveOfDump && !isLarge) return this.receive();
    while (true) {
      this.#assertOpen(this.#receiving);
      const datagram = await this.#offThread(async () =>
        this.#take(
          await libnl().nl_recv_nonblocking(this.#socket, this.#sender, this.#received.argument, null),
        )
      );
      if (datagram !== "of another process") return datagram;
    }
  }

  async readable(timeoutMs: number): Promise<boolean> {
    if (this.#closed) return false;
    using memory = new CallMemory(16);
    const fds = new DataView(memory.buffer); // struct pollfd { int fd; short events, revents; } [2]
    for (const [index, fd] of [this.#fd, this.#wake].entries()) {
      fds.setInt32(index * 8, fd, true);
      fds.setInt16(index * 8 + 4, POLLIN, true);
    }
    const ready = await this.#offThread(() => libc().poll(fds, 2n, timeoutMs));
    // Any event counts, because `receive` also reports an overflow (POLLERR).
    return ready > 0 && !this.#closed && fds.getInt16(6, true) !== 0;
  }

  joinGroup(group: number): void {
    const operation = `join multicast group ${group} of ${this.#protocol}`;
    this.#assertOpen(operation);
    check(operation, libnl().nl_socket_add_membership(this.#socket, group));
  }

  leaveGroup(group: number): void {
    const operation = `leave multicast group ${group} of ${this.#protocol}`;
    this.#assertOpen(operation);
    check(operation, libnl().nl_socket_drop_membership(this.#socket, group));
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    libc().write(this.#wake, new BigUint64Array([1n]), 8n);
    if (this.#inFlight === 0) this.#free();
  }

  async #offThread<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#inFlight++;
    try {
      return await call();
    } finally {
      this.#inFlight--;
      if (this.#closed && this.#inFlight === 0) this.#free();
    }
  }

  #free(): void {
    libc().close(this.#wake);
    this.#memory[Symbol.dispose]();
    // Nobody waits for the end of the call.
    if (this.#locks.close) libnl().nl_socket_free_nonblocking(this.#socket);
    else libnl().nl_socket_free(this.#socket);
  }

  get #receiving(): string {
    return `receive from ${this.#protocol}`;
  }

  /**
   * Takes the datagram that nl_recv has allocated.
   * @param length result of nl_recv.
   * @returns undefined if there was none.
   */
  #take(length: number): Uint8Array<ArrayBuffer> | "of another process" | undefined {
    if (length === 0 || length === -NLE_AGAIN) return undefined;
    // libnl maps ENOBUFS to NOMEM. recvmsg returns ENOBUFS after the receive buffer overflowed.
    if (length === -NLE_NOMEM) {
      const extack = "the kernel dropped messages because they were not read fast enough";
      throw new KernelError(this.#receiving, errnoOf("ENOBUFS"), { extack });
    }
    if (length < 0) throw libnlError(this.#receiving, length);
    const pointer = this.#received.pointer;
    if (pointer === null) return undefined;
    const datagram = copyOf(pointer, length);
    libc().free(pointer);
    // Port 0 is the kernel.
    return this.#sender[1] === 0 ? datagram : "of another process";
  }

  #prepareSend(length: number): void {
    this.#assertOpen(`send to ${this.#protocol}`);
    if (length + SEND_BUFFER_OVERHEAD > this.#sendBufferBytes) {
      this.#setSendBuffer(length + SEND_BUFFER_OVERHEAD);
    }
  }

  #checkSend(sent: number, length: number): void {
    if (sent === length) return;
    const operation = `send ${length} bytes to ${this.#protocol}`;
    const limit = this.#sendBufferBytes;
    // libnl maps EMSGSIZE to NLE_FAILURE.
    if (sent === -NLE_FAILURE && length + SEND_BUFFER_OVERHEAD > limit) {
      throw new KernelError(operation, errnoOf("EMSGSIZE"), {
        extack: `the socket's send buffer is ${limit} bytes`,
        advice: "Give the process CAP_NET_ADMIN in the initial user namespace, or raise net.core.wmem_max",
      });
    }
    if (sent < 0) throw libnlError(operation, sent);
    throw new KernelError(operation, errnoOf("EIO"), { extack: `only ${sent} bytes were sent` });
  }

  #setSendBuffer(bytes: number): void {
    if (!setOption(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes)) {
      setOption(this.#fd, SOL_SOCKET, SO_SNDBUF, bytes);
    }
    const value = new Int32Array(1);
    libc().getsockopt(this.#fd, SOL_SOCKET, SO_SNDBUF, value, new Uint32Array([4]));
    this.#sendBufferBytes = value[0] ?? 0;
  }

  #assertOpen(operation: string): void {
    if (this.#closed) throw new KernelError(operation, errnoOf("EBADF"), { extack: "the socket was closed" });
  }
}

function check(operation: string, code: number, details?: KernelErrorDetails): void {
  if (code < 0) throw libnlError(operation, code, details);
}

function missingProtocol(protocol: number): KernelErrorDetails {
  const module = PROTOCOL_MODULES.get(protocol);
  return module === undefined
    ? {}
    : { advice: `The kernel lacks this protocol. Load its module on the node: modprobe ${module}` };
}

function setOption(fd: number, level: number, option: number, value: number): boolean {
  return libc().setsockopt(fd, level, option, new Int32Array([value]), 4) === 0;
}
