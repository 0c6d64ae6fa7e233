import { NLA_F_NESTED, NLA_HDRLEN, NLMSG_HDRLEN } from "./constants.ts";

/** What a writer starts with, and goes back to after it had to grow for a bulk load. */
const defaultBytes = 64 * 1024;
const retainedBytes = 1024 * 1024;
const maxAttributeBytes = 0xffff; // nla_len is 16 bits wide

const encoder = new TextEncoder();

export interface MessageWriterOptions {
  /**
   * Sets NLA_F_NESTED on attributes that hold others, as it should be in what is sent. Without it the bytes are those
   * that old families (nf_tables) list; the kernel takes both.
   */
  readonly flagsNests?: boolean;
}

/**
 * Writes netlink messages, one after the other, into one buffer that grows by doubling and is used again.
 *
 * `attr…` methods write a whole attribute and pad it to 4 bytes. "le" is the host's order: we run on little-endian
 * machines only (x86-64, arm64).
 */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #position = 0;
  #message = -1;
  readonly #initialBytes: number;
  readonly #nestFlag: number;

  constructor(initialBytes: number = defaultBytes, { flagsNests = true }: MessageWriterOptions = {}) {
    this.#initialBytes = initialBytes;
    this.#nestFlag = flagsNests ? NLA_F_NESTED : 0;
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Forgets what was written. The buffer is kept unless a bulk load made it large: idle memory matters more. */
  reset(): void {
    this.#position = 0;
    this.#message = -1;
    if (this.#bytes.length > Math.max(this.#initialBytes, retainedBytes)) this.#resize(this.#initialBytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#position;
  }

  /** A view of what is written, valid until the next write or reset: neither while a `sendLarge` of it is under way. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#position);
  }

  /** struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type, nlmsg_flags; __u32 nlmsg_seq, nlmsg_pid; } */
  begin(type: number, flags: number, seq: number): void {
    if (this.#message >= 0) throw new Error("netlink: a message was begun inside another");
    const at = this.#reserve(NLMSG_HDRLEN);
    this.#message = at;
    this.#view.setUint32(at, 0, true);
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags, true);
    this.#view.setUint32(at + 8, seq, true);
    this.#view.setUint32(at + 12, 0, true);
  }

  /** Ends the message: its length is known now, and the next one starts at a multiple of 4. */
  end(): void {
    if (this.#message < 0) throw new Error("netlink: end of a message that was not begun");
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

  /** Text as UTF-8 with a terminating NUL. */
  attrString(type: number, text: string): void {
    const utf8 = encoder.encode(text);
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

  /** A binary string, one character a byte (an Address of core/net/address.ts). */
  attrLatin1(type: number, text: string): void {
    const at = this.#attribute(type, text.length, aligned(NLA_HDRLEN + text.length));
    if (text.length === 0) return;
    this.#view.setUint32(this.#position - 4, 0);
    const bytes = this.#bytes;
    for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  }

  /** An attribute that holds those that `body` writes. */
  nest(type: number, body: () => void): void {
    const mark = this.nestStart(type);
    body();
    this.nestEnd(mark);
  }

  /**
   * The same for loops that must split: `length - mark` is the nest's length so far, and 65535 its limit.
   * @returns the mark that `nestEnd` takes.
   */
  nestStart(type: number): number {
    const mark = this.#reserve(NLA_HDRLEN);
    this.#view.setUint16(mark + 2, type | this.#nestFlag, true);
    return mark;
  }

  /** @throws RangeError when the nest became longer than an attribute can be. */
  nestEnd(mark: number): void {
    const length = this.#position - mark;
    if (length > maxAttributeBytes) {
      const type = this.#view.getUint16(mark + 2, true) & ~NLA_F_NESTED;
      throw tooLong(type, length);
    }
    this.#view.setUint16(mark, length, true);
  }

  // Raw values build fixed headers (struct nfgenmsg) and packed data.

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

  /** @returns where they begin, for the `patch…` methods. */
  rawBytes(bytes: Uint8Array): number {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return at;
  }

  // Patches fill the holes of a template that `rawBytes` wrote: for messages that are much the same many times.

  patchU16be(at: number, value: number): void {
    this.#view.setUint16(at, value, false);
  }

  patchU16le(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  patchU32le(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** The first `count` characters of a binary string. */
  patchLatin1(at: number, text: string, count: number = text.length): void {
    const bytes = this.#bytes;
    for (let index = 0; index < count; index++) bytes[at + index] = text.charCodeAt(index);
  }

  /** struct nlattr { __u16 nla_len, nla_type; }, with room for the payload: returns where that goes. */
  #attribute(type: number, payloadBytes: number, paddedBytes: number): number {
    const length = NLA_HDRLEN + payloadBytes;
    if (length > maxAttributeBytes) throw tooLong(type, length);
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

  /** Moves what is written; the old buffer's memory is free at once, not when the collector next runs. */
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
    `netlink: attribute ${type} is ${length} bytes long, and ${maxAttributeBytes} is the most its length field can ` +
      `say; split it over several messages`,
  );
}
