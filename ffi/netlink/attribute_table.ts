import { NLA_HDRLEN, NLA_TYPE_MASK } from "./constants.ts";

/**
 * The positions of the attributes of one nest, by type. For dumps of hundreds of thousands of messages: the table is
 * filled again for each message and allocates nothing, which takes a tenth of the time of `attributes`. A missing or
 * short attribute reads as 0.
 */
export class AttributeTable {
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  #bytes: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(this.#bytes.buffer);

  /** @param maxType attributes of higher types are skipped. */
  constructor(maxType: number) {
    this.#starts = new Int32Array(maxType + 1);
    this.#ends = new Int32Array(maxType + 1);
  }

  /**
   * Reads the attributes between two offsets.
   * @throws RangeError if a length field points outside.
   */
  fill(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    this.#starts.fill(-1);
    this.#ends.fill(-1);
    this.#bytes = bytes;
    const view = this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = start; at < end;) {
      const length = at + NLA_HDRLEN > end ? 0 : view.getUint16(at, true);
      if (length < NLA_HDRLEN || at + length > end) {
        throw new RangeError(`netlink: truncated attribute: needs ${length} bytes, has ${end - at}`);
      }
      const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
      if (type < this.#starts.length) {
        this.#starts[type] = at + NLA_HDRLEN;
        this.#ends[type] = at + length;
      }
      at += (length + 3) & ~3;
    }
  }

  /** Reads the attributes that are nested in an attribute of another table; none if that is missing. */
  fillFrom(outer: AttributeTable, type: number): void {
    if (outer.has(type)) this.fill(outer.#bytes, outer.#starts[type], outer.#ends[type]);
    else this.fill(outer.#bytes, 0, 0);
  }

  has(type: number): boolean {
    return this.#startOf(type) >= 0;
  }

  u16be(type: number): number {
    return this.#has(type, 2) ? this.#view.getUint16(this.#startOf(type), false) : 0;
  }

  u16le(type: number): number {
    return this.#has(type, 2) ? this.#view.getUint16(this.#startOf(type), true) : 0;
  }

  u32be(type: number): number {
    return this.#has(type, 4) ? this.#view.getUint32(this.#startOf(type), false) : 0;
  }

  u32le(type: number): number {
    return this.#has(type, 4) ? this.#view.getUint32(this.#startOf(type), true) : 0;
  }

  /** Exact up to 2^53. */
  u64le(type: number): number {
    if (!this.#has(type, 8)) return 0;
    const at = this.#startOf(type);
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 0x1_0000_0000;
  }

  /** A view of the first `max` bytes of the value. */
  bytes(type: number, max = Infinity): Uint8Array {
    if (!this.has(type)) return this.#bytes.subarray(0, 0);
    const start = this.#startOf(type);
    return this.#bytes.subarray(start, Math.min(this.#ends[type] ?? 0, start + max));
  }

  #startOf(type: number): number {
    return this.#starts[type] ?? -1;
  }

  #has(type: number, length: number): boolean {
    const start = this.#startOf(type);
    return start >= 0 && (this.#ends[type] ?? 0) >= start + length;
  }
}
