/** Functions of glibc that only tests need. */
const symbols = {
  /** int socket(int domain, int type, int protocol) */
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen) */
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** ssize_t recv(int sockfd, void *buf, size_t len, int flags) */
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  /** int close(int fd) */
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 0o2004002;

/** A Unix datagram socket, as the one that a service manager listens on. */
export class DatagramReceiver implements Disposable {
  readonly #libc = Deno.dlopen("libc.so.6", symbols);
  readonly #fd: number;
  readonly #received: string[] = [];

  /** @param path of the socket; an abstract name begins with NUL. */
  constructor(path: string) {
    const { socket, bind } = this.#libc.symbols;
    this.#fd = socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
    const address = new TextEncoder().encode(`\x01\0${path}`);
    if (bind(this.#fd, address, address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** The messages so far. */
  get messages(): readonly string[] {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const size = this.#libc.symbols.recv(this.#fd, buffer, BigInt(buffer.length), 0);
      if (size < 0n) return this.#received;
      this.#received.push(new TextDecoder().decode(buffer.subarray(0, Number(size))));
    }
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }
}
