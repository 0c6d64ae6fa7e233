import {
  NLA_HDRLEN,
  NLA_TYPE_MASK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
} from "./constants.ts";

/** One message of a datagram. `payload` is a view of the datagram. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly pid: number;
  readonly payload: Uint8Array;
}

/** The kernel's answer to the message `seq`: an acknowledgement (errno 0) or a rejection. */
export interface Acknowledgement {
  readonly seq: number;
  /** Positive for a rejection, 0 for success. */
  readonly errno: number;
  /** The kernel's text, if it sent one (nf_tables never does). */
  readonly extack?: string;
  /** Offset of the offending attribute in bytes from the start of the message, header included. */
  readonly offset?: number;
}

const DECODER = new TextDecoder();

/**
 * Reads the messages of one datagram, in order.
 * @throws RangeError if a length field points outside the datagram.
 */
export function* messages(datagram: Uint8Array): Generator<NetlinkMessage, void, undefined> {
  const view = viewOf(datagram);
  for (let at = 0; at < datagram.length;) {
    const rest = datagram.length - at;
    if (rest < NLMSG_HDRLEN) throw truncated("message header", NLMSG_HDRLEN, rest);
    const length = view.getUint32(at, true);
    if (length < NLMSG_HDRLEN || length > rest) throw truncated("message", length, rest);
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      pid: view.getUint32(at + 12, true),
      payload: datagram.subarray(at + NLMSG_HDRLEN, at + length),
    };
    at += aligned(length);
  }
}

/**
 * Reads the attributes of a payload, in order.
 * @param offset size of the fixed header before them (struct nfgenmsg: 4).
 * @throws RangeError if a length field points outside the payload.
 */
export function* attributes(payload: Uint8Array, offset = 0): Generator<Attribute, void, undefined> {
  if (offset > payload.length) throw truncated("fixed header", offset, payload.length);
  const view = viewOf(payload);
  for (let at = offset; at < payload.length;) {
    const rest = payload.length - at;
    if (rest < NLA_HDRLEN) throw truncated("attribute header", NLA_HDRLEN, rest);
    const length = view.getUint16(at, true);
    if (length < NLA_HDRLEN || length > rest) throw truncated("attribute", length, rest);
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    yield new Attribute(type, payload.subarray(at + NLA_HDRLEN, at + length));
    at += aligned(length);
  }
}

/** Finds the first attribute of a type; undefined if there is none. Throws like `attributes`. */
export function attribute(payload: Uint8Array, type: number, offset = 0): Attribute | undefined {
  for (const candidate of attributes(payload, offset)) if (candidate.type === type) return candidate;
  return undefined;
}

/** An attribute. Its getters throw RangeError if the value is too short; they read the start of a longer value. */
export class Attribute {
  constructor(
    /** Without flag bits. */
    readonly type: number,
    /** A view of the value, without padding. */
    readonly bytes: Uint8Array,
  ) {}

  u8(): number {
    return this.#view(1).getUint8(0);
  }

  u16be(): number {
    return this.#view(2).getUint16(0, false);
  }

  u16le(): number {
    return this.#view(2).getUint16(0, true);
  }

  u32be(): number {
    return this.#view(4).getUint32(0, false);
  }

  u32le(): number {
    return this.#view(4).getUint32(0, true);
  }

  u64be(): bigint {
    return this.#view(8).getBigUint64(0, false);
  }

  u64le(): bigint {
    return this.#view(8).getBigUint64(0, true);
  }

  /** UTF-8 text up to the first NUL or the end, because the kernel does not always terminate it. */
  string(): string {
    const end = this.bytes.indexOf(0);
    return DECODER.decode(end < 0 ? this.bytes : this.bytes.subarray(0, end));
  }

  /** A binary string, one character per byte (an Address of core/net/address.ts). */
  latin1(): string {
    if (this.bytes.length <= 64) return String.fromCharCode(...this.bytes);
    let text = "";
    for (const byte of this.bytes) text += String.fromCharCode(byte);
    return text;
  }

  /** The attributes nested in this one. */
  attributes(): Generator<Attribute, void, undefined> {
    return attributes(this.bytes);
  }

  /** The first nested attribute of a type. */
  attribute(type: number): Attribute | undefined {
    return attribute(this.bytes, type);
  }

  #view(length: number): DataView {
    if (this.bytes.length < length) {
      throw truncated(`value of attribute ${this.type}`, length, this.bytes.length);
    }
    return viewOf(this.bytes);
  }
}

/**
 * Decodes a struct nlmsgerr { int error; struct nlmsghdr msg; }, followed by the rest of the rejected message unless
 * NLM_F_CAPPED, and by attributes if NLM_F_ACK_TLVS. NLMSG_DONE has the same fields except `msg`, because a dump can fail
 * at its end.
 * @throws RangeError if the message is truncated.
 */
export function acknowledgement({ type, flags, seq, payload }: NetlinkMessage): Acknowledgement {
  if (type !== NLMSG_ERROR && type !== NLMSG_DONE) {
    throw new RangeError(`netlink: message type ${type} is no acknowledgement`);
  }
  // Old kernels end a dump with an empty NLMSG_DONE.
  if (type === NLMSG_DONE && payload.length < 4) return { seq, errno: 0 };
  if (payload.length < 4) throw truncated("error code", 4, payload.length);
  const view = viewOf(payload);
  // Negation would turn 0 into -0.
  const errno = Math.abs(view.getInt32(0, true));
  if ((flags & NLM_F_ACK_TLVS) === 0) return { seq, errno };

  let offset = 4;
  if (type === NLMSG_ERROR) {
    offset += aligned(echoedLength(payload, flags));
  }
  const text = attribute(payload, NLMSGERR_ATTR_MSG, offset)?.string();
  const position = attribute(payload, NLMSGERR_ATTR_OFFS, offset)?.u32le();
  return {
    seq,
    errno,
    ...(text === undefined ? {} : { extack: text }),
    ...(position === undefined ? {} : { offset: position }),
  };
}

/** Size of the rejected message inside a NLMSG_ERROR: the whole message, or only its header. */
function echoedLength(payload: Uint8Array, flags: number): number {
  const available = payload.length - 4;
  if (available < NLMSG_HDRLEN) throw truncated("header of the rejected message", NLMSG_HDRLEN, available);
  if ((flags & NLM_F_CAPPED) !== 0) return NLMSG_HDRLEN;
  const length = viewOf(payload).getUint32(4, true);
  if (length < NLMSG_HDRLEN || length > available) throw truncated("rejected message", length, available);
  return length;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function truncated(what: string, needed: number, available: number): RangeError {
  return new RangeError(`netlink: truncated ${what}: needs ${needed} bytes, has ${available}`);
}
