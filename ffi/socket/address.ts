import { AF_INET, AF_INET6 } from "../inet.ts";

/** sizeof(struct sockaddr_in6), the longest address of a socket here. */
export const MAX_SOCKADDR_BYTES = 28;

/**
 * Memory for one socket address, reused for every call, because a connection needs four.
 *
 * struct sockaddr_in { u16 sin_family; be16 sin_port; u8 sin_addr[4]; u8 sin_zero[8]; };
 * struct sockaddr_in6 { u16 sin6_family; be16 sin6_port; u32 sin6_flowinfo; u8 sin6_addr[16]; u32 sin6_scope_id; };
 */
export class SocketAddress {
  readonly bytes = new Uint8Array(new ArrayBuffer(MAX_SOCKADDR_BYTES));
  /** For calls that return an address: its capacity before, its length after the call. */
  readonly capacity = new Uint32Array(new ArrayBuffer(4));
  /** Length of the family's structure. */
  readonly length: number;
  readonly #family: number;
  readonly #addressStart: number;
  readonly #addressEnd: number;

  /** @param family AF_INET or AF_INET6 */
  constructor(family: number) {
    this.#family = family;
    this.length = family === AF_INET6 ? MAX_SOCKADDR_BYTES : 16;
    this.#addressStart = family === AF_INET6 ? 8 : 4;
    this.#addressEnd = family === AF_INET6 ? 24 : 8;
    this.bytes[0] = family;
  }

  /** Returns `capacity` for a call that fills in the address. */
  empty(): Uint32Array<ArrayBuffer> {
    this.capacity[0] = this.length;
    return this.capacity;
  }

  /** Copies an address and a port (6 or 18 characters, one per byte, the port big-endian) from a position in `packed`. */
  setPacked(packed: string, at: number): void {
    const { bytes } = this;
    const count = this.#addressEnd - this.#addressStart;
    bytes[0] = this.#family;
    for (let index = 0; index < count; index++) {
      bytes[this.#addressStart + index] = packed.charCodeAt(at + index);
    }
    bytes[2] = packed.charCodeAt(at + count);
    bytes[3] = packed.charCodeAt(at + count + 1);
  }

  /** @param address one character per byte */
  set(address: string, port: number): void {
    const { bytes } = this;
    bytes.fill(0);
    bytes[0] = this.#family;
    for (let index = 0; index < address.length; index++) {
      bytes[this.#addressStart + index] = address.charCodeAt(index);
    }
    bytes[2] = port >> 8;
    bytes[3] = port & 0xff;
  }

  /** The address, one character per byte. */
  get address(): string {
    const { bytes } = this;
    return this.#family === AF_INET
      ? String.fromCharCode(bytes[4] ?? 0, bytes[5] ?? 0, bytes[6] ?? 0, bytes[7] ?? 0)
      : String.fromCharCode(...bytes.subarray(this.#addressStart, this.#addressEnd));
  }

  get port(): number {
    return (this.bytes[2] ?? 0) << 8 | (this.bytes[3] ?? 0);
  }
}
