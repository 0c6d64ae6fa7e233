import * as nft from "../constants.ts";
import type { TableFamily } from "../families.ts";
import * as userdata from "../userdata.ts";

/** Parts of an element besides its key. */
export type SetKind =
  | "set"
  /** Elements are ranges of keys. */
  | "interval set"
  /** Rules add elements, and the kernel removes them after a timeout. */
  | "dynamic set"
  /** Rules add elements, which stay until they are deleted and may have counters. */
  | "counting set"
  /** Elements have a value. */
  | "map"
  /** Elements have a verdict. */
  | "verdict map";

export interface SetSpec {
  readonly name: string;
  readonly kind: SetKind;
  readonly comment: string;
  readonly key: readonly FieldType[];
  /** For maps only. */
  readonly data?: readonly FieldType[];
  /** For dynamic sets only. */
  readonly timeoutSeconds?: number;
}

/** One field of a key. */
export interface FieldType {
  /** Number of the type in nft. nftables/include/datatype.h, enum datatypes */
  readonly datatype: number;
  /** Without padding. */
  readonly bytes: number;
  /** User data for a declaration by `typeof`. */
  readonly typeof: string;
}

/** `ip daddr`, or another address */
export function addressField(family: TableFamily): FieldType {
  return {
    datatype: family.addressBytes === 4 ? 7 : 8, // TYPE_IPADDR, TYPE_IP6ADDR
    bytes: family.addressBytes,
    typeof: userdata.typeofDestination(family),
  };
}

/** TYPE_INET_PROTOCOL */
export const PROTOCOL_FIELD: FieldType = { datatype: 12, bytes: 1, typeof: userdata.typeofProtocol };
/** TYPE_INET_SERVICE */
export const PORT_FIELD: FieldType = { datatype: 13, bytes: 2, typeof: userdata.typeofDestinationPort };

/** The flags of a set, as the kernel reports them. */
export function flagsOf(spec: SetSpec): number {
  switch (spec.kind) {
    case "set":
      return 0;
    case "interval set":
      return nft.NFT_SET_INTERVAL | nft.NFT_SET_CONCAT;
    case "dynamic set":
      return nft.NFT_SET_EVAL | nft.NFT_SET_TIMEOUT;
    case "counting set":
      return nft.NFT_SET_EVAL;
    case "map":
    case "verdict map":
      return nft.NFT_SET_MAP;
  }
}

/** Length of a key or value in bytes. The fields of a concatenation are padded to 4 bytes. */
export function lengthOf(fields: readonly FieldType[]): number {
  const [only, ...others] = fields;
  if (only !== undefined && others.length === 0) return only.bytes;
  return fields.reduce((sum, field) => sum + (field.bytes + 3 & ~3), 0);
}

/** The types of a concatenation, packed by nft in 6 bits each. The kernel does not interpret the number. */
export function datatypeOf(fields: readonly FieldType[]): number {
  return fields.reduce((packed, field) => packed << 6 | field.datatype, 0);
}

/**
 * Maps are declared by `typeof`, because numgen has no type name. Other sets are declared by types, as in
 * kube-proxy.
 */
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
