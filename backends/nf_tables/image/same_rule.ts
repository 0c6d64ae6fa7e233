import { NLA_F_NESTED, NLA_HDRLEN, NLA_TYPE_MASK } from "../../../ffi/netlink/constants.ts";
import { attributes } from "../../../ffi/netlink/reader.ts";
import * as nft from "../constants.ts";
import { CHOICE_MAP } from "../expressions.ts";
import type { RuleImage } from "./table_image.ts";

/** Reports whether the anonymous map with this id in a batch has the elements of a map with this name in the kernel. */
export type SameMap = (id: number, name: string) => boolean;

/**
 * Reports whether the kernel lists a rule as the one that was written. The kernel adds attributes with their default,
 * which is 0, and omits those that it has no other value for.
 */
export function sameRule(expected: RuleImage, actual: RuleImage | undefined, sameMap: SameMap): boolean {
  if (actual === undefined || expected.userdata !== actual.userdata) return false;
  const [wanted, found] = [expected.expressions, actual.expressions].map((bytes) => [...attributes(bytes)]);
  if (wanted === undefined || found === undefined || wanted.length !== found.length) return false;
  return wanted.every(({ bytes }, index) => sameExpression(bytes, found[index]?.bytes ?? EMPTY, sameMap));
}

const EMPTY = new Uint8Array();

function sameExpression(expected: Uint8Array, actual: Uint8Array, sameMap: SameMap): boolean {
  const [wanted, found] = [partsOf(expected), partsOf(actual)];
  const name = textOf(wanted.get(nft.NFTA_EXPR_NAME));
  if (name !== textOf(found.get(nft.NFTA_EXPR_NAME))) return false;
  const data = [wanted, found].map((parts) => partsOf(parts.get(nft.NFTA_EXPR_DATA)?.bytes ?? EMPTY));
  const [own, kernels] = data;
  if (own === undefined || kernels === undefined) return false;
  if (name === "lookup") {
    const id = own.get(nft.NFTA_LOOKUP_SET_ID);
    if (textOf(own.get(nft.NFTA_LOOKUP_SET)) === CHOICE_MAP && id !== undefined) {
      if (!sameMap(u32be(id.bytes), textOf(kernels.get(nft.NFTA_LOOKUP_SET)))) return false;
      for (const parts of data) parts.delete(nft.NFTA_LOOKUP_SET);
    }
    own.delete(nft.NFTA_LOOKUP_SET_ID);
  }
  if (name === "objref") {
    // The kernel ends the name with a NUL.
    const [wanted, found] = data.map((parts) => textOf(parts.get(nft.NFTA_OBJREF_IMM_NAME)));
    if (wanted !== found) return false;
    for (const parts of data) parts.delete(nft.NFTA_OBJREF_IMM_NAME);
  }
  if (name === "nat") completeTranslation(own);
  return sameParts(own, kernels);
}

/** Adds what the kernel derives: a range of one address and of one port, and flags that say what is in the range. */
function completeTranslation(parts: Map<number, Part>): void {
  let flags = u32be(parts.get(nft.NFTA_NAT_FLAGS)?.bytes ?? new Uint8Array(4));
  const ranges = [
    [nft.NFTA_NAT_REG_ADDR_MIN, nft.NFTA_NAT_REG_ADDR_MAX, nft.NF_NAT_RANGE_MAP_IPS],
    [nft.NFTA_NAT_REG_PROTO_MIN, nft.NFTA_NAT_REG_PROTO_MAX, nft.NF_NAT_RANGE_PROTO_SPECIFIED],
  ] as const;
  for (const [first, last, flag] of ranges) {
    const register = parts.get(first);
    if (register === undefined) continue;
    if (!parts.has(last)) parts.set(last, register);
    flags |= flag;
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, flags, false);
  parts.set(nft.NFTA_NAT_FLAGS, { isNested: false, bytes });
}

interface Part {
  readonly isNested: boolean;
  readonly bytes: Uint8Array;
}

function sameParts(expected: ReadonlyMap<number, Part>, actual: ReadonlyMap<number, Part>): boolean {
  for (const [type, { isNested, bytes }] of expected) {
    const found = actual.get(type);
    if (found === undefined) {
      if (!bytes.every((byte) => byte === 0)) return false;
    } else if (isNested ? !sameParts(partsOf(bytes), partsOf(found.bytes)) : !sameBytes(bytes, found.bytes)) {
      return false;
    }
  }
  return actual.entries().every(([type, { bytes }]) =>
    expected.has(type) || bytes.every((byte) => byte === 0)
  );
}

/** Attributes by type. */
function partsOf(bytes: Uint8Array): Map<number, Part> {
  const parts = new Map<number, Part>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + NLA_HDRLEN <= bytes.length;) {
    const length = Math.max(NLA_HDRLEN, view.getUint16(at, true));
    const type = view.getUint16(at + 2, true);
    parts.set(type & NLA_TYPE_MASK, {
      isNested: (type & NLA_F_NESTED) !== 0,
      bytes: bytes.subarray(at + NLA_HDRLEN, at + length),
    });
    at += length + 3 & ~3;
  }
  return parts;
}

function textOf(part: Part | undefined): string {
  return part === undefined ? "" : new TextDecoder().decode(part.bytes).replace(/\0.*$/, "");
}

function u32be(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, false);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
