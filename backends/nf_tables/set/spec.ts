import * as nft from "../constants.ts";
import type { TableFamily } from "../families.ts";
import * as userdata from "../userdata.ts";

/** What a set's elements are besides their key. */
export type SetKind =
  | "set"
  /** Elements are ranges from a key to a key. */
  | "interval set"
  /** Rules add elements, and the kernel removes them after a time. */
  | "dynamic set"
  /** Elements have data. */
  | "map"
  /** Elements have a verdict. */
  | "verdict map";

export interface SetSpec {
  readonly name: string;
  readonly kind: SetKind;
  readonly comment: string;
  readonly key: readonly FieldType[];
  /** Of a map. */
  readonly data?: readonly FieldType[];
  /** Of a dynamic set. */
  readonly timeoutSeconds?: number;
}

/** One field of a key. */
export interface FieldType {
  /** nft's number for the type. nftables/include/datatype.h, enum datatypes */
  readonly datatype: number;
  /** Without padding. */
  readonly bytes: number;
  /** How a declaration by `typeof` names it. */
  readonly typeof: string;
}

/** `ip daddr`, or whatever address */
export function addressField(family: TableFamily): FieldType {
  return {
    datatype: family.addressBytes === 4 ? 7 : 8, // TYPE_IPADDR, TYPE_IP6ADDR
    bytes: family.addressBytes,
    typeof: userdata.typeofDestination(family),
  };
}

/** TYPE_INET_PROTOCOL */
export const protocolField: FieldType = { datatype: 12, bytes: 1, typeof: userdata.typeofProtocol };
/** TYPE_INET_SERVICE */
export const portField: FieldType = { datatype: 13, bytes: 2, typeof: userdata.typeofDestinationPort };
/** A set's flags, as the kernel reports them. */
export function flagsOf(spec: SetSpec): number {
  switch (spec.kind) {
    case "set":
      return 0;
    case "interval set":
      return nft.NFT_SET_INTERVAL | nft.NFT_SET_CONCAT;
    case "dynamic set":
      return nft.NFT_SET_EVAL | nft.NFT_SET_TIMEOUT;
    case "map":
    case "verdict map":
      return nft.NFT_SET_MAP;
  }
}

/** Bytes of a key or of data: every field is padded to 4. */
export function lengthOf(fields: readonly FieldType[]): number {
  return fields.reduce((sum, field) => sum + (field.bytes + 3 & ~3), 0);
}

/** nft packs the types of a concatenation, 6 bits each. The kernel only keeps the number. */
export function datatypeOf(fields: readonly FieldType[]): number {
  return fields.reduce((packed, field) => packed << 6 | field.datatype, 0);
}

/** Maps are declared by `typeof`, for no type name says "numgen"; all else by types, as upstream does it. */
export function userdataOf(spec: SetSpec): string {
  const byType: userdata.Declared = spec.key.length === 1 ? { by: "type" } : { by: "concatenated types" };
  switch (spec.kind) {
    case "map":
      return userdata.set(typeofs(spec.key), typeofs(spec.data ?? []), spec.comment);
    case "verdict map":
      return userdata.set(byType, "verdict", spec.comment);
    default:
      return userdata.set(byType, undefined, spec.comment);
  }
}

function typeofs(fields: readonly FieldType[]): userdata.Declared {
  return { by: "typeof", fields: fields.map((field) => field.typeof) };
}
