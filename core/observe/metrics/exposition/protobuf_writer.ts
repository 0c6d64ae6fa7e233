/** Types of fields on the wire (protobuf encoding). */
const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;

/** Encodes one protobuf message. */
export class ProtobufWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** @param capacity initial size of the buffer in bytes. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** The message so far. Valid until the next write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** @param value a whole number, at least 0. */
  uint(field: number, value: number): void {
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  /** A field of type sint32 or sint64, which is encoded zigzag. */
  sint(field: number, value: number): void {
    this.uint(field, value < 0 ? -2 * value - 1 : 2 * value);
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED_64);
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  string(field: number, value: string): void {
    this.message(field, () => {
      // A UTF-16 unit has at most three bytes in UTF-8.
      this.#reserve(3 * value.length);
      this.#length += encoder.encodeInto(value, this.#bytes.subarray(this.#length)).written;
    });
  }

  /** Writes a message, or anything else that has its length before it. */
  message(field: number, write: (message: ProtobufWriter) => void): void {
    this.#tag(field, LENGTH_DELIMITED);
    this.#withLength(() => write(this));
  }

  /** A repeated field of type sint64, not packed: the description of the format does not ask for it. */
  sints(field: number, values: readonly number[]): void {
    for (const value of values) this.sint(field, value);
  }

  /** Writes a whole message with its length before it: one element of a delimited stream. */
  delimited(write: (message: ProtobufWriter) => void): void {
    this.#withLength(() => write(this));
  }

  /** Appends fields that are encoded already. */
  append(fields: Uint8Array): void {
    this.#reserve(fields.length);
    this.#bytes.set(fields, this.#length);
    this.#length += fields.length;
  }

  /** Most lengths have one byte. A longer one moves what was written. */
  #withLength(write: () => void): void {
    this.#reserve(1);
    const start = ++this.#length;
    write();
    const length = this.#length - start;
    const extra = varintBytes(length) - 1;
    this.#reserve(extra);
    this.#bytes.copyWithin(start + extra, start, this.#length);
    this.#length = start - 1;
    this.#varint(length);
    this.#length = start + extra + length;
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): void {
    this.#reserve(10);
    // Without bit operations, which would cut the number to 32 bits.
    for (; value > 0x7f; value = Math.floor(value / 128)) this.#bytes[this.#length++] = value % 128 + 128;
    this.#bytes[this.#length++] = value;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    larger.set(this.bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const encoder = new TextEncoder();

/** Bytes of a number as a varint: seven bits in each. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes++;
  return bytes;
}
