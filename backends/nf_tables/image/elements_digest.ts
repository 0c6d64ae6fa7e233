import type { Attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../constants.ts";
import type { ElementsOfSet } from "./table_image.ts";

/**
 * Digest of the elements of a set, in any order: their number, and the sums of two hashes of each. There can be
 * 100,000s.
 */
export class ElementsDigest implements ElementsOfSet<ElementsDigest> {
  #count = 0;
  #first = 0;
  #second = 0;

  addList(list: Attribute): void {
    for (const element of list.attributes()) {
      this.#count++;
      let [first, second] = [0, 0];
      // The kernel lists the attributes of an element in an order of its own.
      for (const part of element.attributes()) {
        first = first + hashOfPart(part, 0x811c9dc5) | 0;
        second = second + hashOfPart(part, 0x2545f491) | 0;
      }
      this.#first = this.#first + mixed(first) | 0;
      this.#second = this.#second + mixed(second ^ first) | 0;
    }
  }

  equals(other: ElementsDigest | undefined): boolean {
    return other !== undefined && this.#count === other.#count && this.#first === other.#first &&
      this.#second === other.#second;
  }
}

/** Hashes a key, data or userdata by the values in it, because the kernel omits the flag of nested attributes. */
function hashOfPart(part: Attribute, seed: number): number {
  const hash = hashOf(Uint8Array.of(part.type), seed);
  switch (part.type) {
    case nft.NFTA_SET_ELEM_KEY:
    case nft.NFTA_SET_ELEM_KEY_END:
    case nft.NFTA_SET_ELEM_DATA: {
      const value = part.attribute(nft.NFTA_DATA_VALUE);
      if (value !== undefined) return hashOf(value.bytes, hash);
      let verdict = hash;
      for (const { bytes } of part.attribute(nft.NFTA_DATA_VERDICT)?.attributes() ?? []) {
        verdict = hashOf(bytes, verdict);
      }
      return verdict;
    }
    default:
      return hashOf(part.bytes, hash);
  }
}

/** FNV-1a */
function hashOf(bytes: Uint8Array, seed: number): number {
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return mixed(hash ^ bytes.length);
}

/** The last step of MurmurHash3. */
function mixed(hash: number): number {
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return hash ^ hash >>> 16;
}
