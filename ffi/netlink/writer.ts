import { NLA_F_NESTED, NLA_HDRLEN, NLMSG_HDRLEN } from "./constants.ts";

/** Default initial size of the buffer. */
const DEFAULT_BYTES = 64 * 1024;
/** Size up to which `reset` keeps the buffer. */
const MAX_RETAINED_BYTES = 1024 * 1024;
const MAX_ATTRIBUTE_BYTES = 0xffff; // nla_len is 16 bits wide

const ENCODER = new TextEncoder();

export interface MessageWriterOptions {
  /**
   * Sets NLA_F_NESTED on nested attributes (default). Old protocols (rtnetlink, nf_tables) do not set it in their own
   * messages. The kernel accepts both.
   */
  readonly nestedFlag?: boolean;
}

/**
 * Writes netlink messages, one after the other, into one buffer that grows by doubling and is reused.
 *
 * The `attr…` methods write a whole attribute and pad it to 4 bytes. "le" is host byte order, because the program runs
 * on little-endian machines only (x86-64, arm64).
 */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #position = 0;
  #message = -1;
  readonly #initialBytes: number;
  readonly #nestFlag: number;

  constructor(initialBytes: number = DEFAULT_BYTES, { nestedFlag = true }: MessageWriterOptions = {}) {
    this.#initialBytes = initialBytes;
    this.#nestFlag = nestedFlag ? NLA_F_NESTED : 0;
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Discards the content. Also shrinks the buffer if a bulk load made it large, because idle memory matters more. */
  reset(): void {
    this.#position = 0;
    this.#message = -1;
    if (this.#bytes.length > Math.max(this.#initialBytes, MAX_RETAINED_BYTES)) {
      this.#resize(this.#initialBytes);
    }
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#position;
  }

  /** A view of the content, valid until the next write or reset. Do neither while it is sent. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#position);
  }

  /** struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type, nlmsg_flags; __u32 nlmsg_seq, nlmsg_pid; } */
  begin(type: number, flags: number, seq: number): void {
    if (this.#message >= 0) throw new Error("netlink: a message begins inside another message");
    const at = this.#reserve(NLMSG_HDRLEN);
    this.#message = at;
    this.#view.setUint32(at, 0, true);
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags, true);
    this.#view.setUint32(at + 8, seq, true);
    this.#view.setUint32(at + 12, 0, true);
  }

  /** Ends the message: writes its length and pads it to a multiple of 4. */
  end(): void {
    if (this.#message < 0) throw new Error("netlink: no message to end");
    this.#view.setUint32(this.#message, this.#position - this.#message, true);
    this.#pad();
    this.#message = -1;
  }

  attrU8(type: number, value: number): void {
    const at = this.#attribute(type, 1, 8);
    this.#view.setUint32(at, value & 0xff, true);
  }

  attrU16be(type: number, value: number): void {
    const at = this.#attribute(type, 2, 8);
    this.#view.setUint16(at, value, false);
    this.#view.setUint16(at + 2, 0);
  }

  attrU16le(type: number, value: number): void {
    const at = this.#attribute(type, 2, 8);
    this.#view.setUint32(at, value & 0xffff, true);
  }

  attrU32be(type: number, value: number): void {
    const at = this.#attribute(type, 4, 8);
    this.#view.setUint32(at, value, false);
  }

  attrU32le(type: number, value: number): void {
    const at = this.#attribute(type, 4, 8);
    this.#view.setUint32(at, value, true);
  }

  attrU64be(type: number, value: number | bigint): void {
    const at = this.#attribute(type, 8, 12);
    this.#view.setBigUint64(at, BigInt(value), false);
  }

  /** Writes text as UTF-8 with a terminating NUL. */
  attrString(type: number, text: string): void {
    const utf8 = ENCODER.encode(text);
    const at = this.#attribute(type, utf8.length + 1, aligned(NLA_HDRLEN + utf8.length + 1));
    this.#view.setUint32(this.#position - 4, 0);
    this.#bytes.set(utf8, at);
  }

  attrBytes(type: number, bytes: Uint8Array): void {
    const at = this.#attribute(type, bytes.length, aligned(NLA_HDRLEN + bytes.length));
    if (bytes.length === 0) return;
    this.#view.setUint32(this.#position - 4, 0);
    this.#bytes.set(bytes, at);
  }

  /** Writes a binary string, one character per byte (an Address of core/net/address.ts). */
  attrLatin1(type: number, text: string): void {
    const at = this.#attribute(type, text.length, aligned(NLA_HDRLEN + text.length));
    if (text.length === 0) return;
    this.#view.setUint32(this.#position - 4, 0);
    const bytes = this.#bytes;
    for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  }

  /** Writes a nested attribute that contains the attributes that `body` writes. */
  nest(type: number, body: () => void): void {
    const mark = this.nestStart(type);
    body();
    this.nestEnd(mark);
  }

  /**
   * Begins a nested attribute, for loops that must split it: `length - mark` is its length so far, 65535 the limit.
   * @returns the mark for `nestEnd`.
   */
  nestStart(type: number): number {
    const mark = this.#reserve(NLA_HDRLEN);
    this.#view.setUint16(mark + 2, type | this.#nestFlag, true);
    return mark;
  }

  /** @throws RangeError if the nested attribute is longer than 65535 bytes. */
  nestEnd(mark: number): void {
    const length = this.#position - mark;
    if (length > MAX_ATTRIBUTE_BYTES) {
      const type = this.#view.getUint16(mark + 2, true) & ~NLA_F_NESTED;
      throw tooLong(type, length);
    }
    this.#view.setUint16(mark, length, true);
  }

  // Raw values are for fixed headers (struct nfgenmsg) and packed data.

  rawU8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  rawU16be(value: number): void {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, false);
  }

  rawU16le(value: number): void {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, true);
  }

  rawU32le(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  /** @returns the offset of the bytes, for the `patch…` methods. */
  rawBytes(bytes: Uint8Array): number {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return at;
  }

  // Patches fill in a template that `rawBytes` wrote, for many messages that differ in a few values.

  patchU16be(at: number, value: number): void {
    this.#view.setUint16(at, value, false);
  }

  patchU16le(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  patchU32le(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Writes the first `count` characters of a binary string. */
  patchLatin1(at: number, text: string, count: number = text.length): void {
    const bytes = this.#bytes;
    for (let index = 0; index < count; index++) bytes[at + index] = text.charCodeAt(index);
  }

  /**
   * Writes a struct nlattr { __u16 nla_len, nla_type; } and reserves the payload.
   * @returns the offset of the payload.
   */
  #attribute(type: number, payloadBytes: number, paddedBytes: number): number {
    const length = NLA_HDRLEN + payloadBytes;
    if (length > MAX_ATTRIBUTE_BYTES) throw tooLong(type, length);
    const at = this.#reserve(paddedBytes);
    this.#view.setUint32(at, length | (type << 16), true);
    return at + NLA_HDRLEN;
  }

  #pad(): void {
    while ((this.#position & 3) !== 0) this.rawU8(0);
  }

  #reserve(count: number): number {
    const at = this.#position;
    const end = at + count;
    if (end > this.#bytes.length) this.#resize(Math.max(end, this.#bytes.length * 2));
    this.#position = end;
    return at;
  }

  /** Moves the content. Frees the old buffer now, not at the next run of the garbage collector. */
  #resize(length: number): void {
    const buffer = this.#bytes.buffer.transfer(length);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function tooLong(type: number, length: number): RangeError {
  return new RangeError(
    `netlink: attribute ${type} has ${length} bytes, but its length field allows at most ${MAX_ATTRIBUTE_BYTES}; ` +
      "split it over several messages",
  );
}
