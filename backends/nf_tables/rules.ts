import { IPS_CONFIRMED, IPS_DST_NAT } from "../conntrack/ctnetlink.ts";
import type { Cidr } from "../../core/net/address.ts";
import type { LocalTraffic } from "../../core/plan/plan.ts";
import * as nft from "./constants.ts";
import * as expr from "./expressions.ts";
import type { Expression, Field } from "./expressions.ts";
import type { TableFamily } from "./families.ts";
import { prefixMask, u32le } from "./set/keys.ts";

export interface Rule {
  readonly expressions: readonly Expression[];
  readonly comment: string;
  /** Chains of the rule's anonymous map, by slot (`expr.verdictOfChoice`). */
  readonly choice?: readonly string[];
}

export interface Chain {
  readonly name: string;
  /** Hook where packets enter. A chain without a hook is entered from other chains. */
  readonly hook?: Hook;
  readonly rules: readonly Rule[];
}

export interface Hook {
  readonly type: "filter" | "nat";
  readonly number: number;
  readonly priority: number;
}

export function baseChain(
  name: string,
  type: Hook["type"],
  number: number,
  priority: number,
  ...rules: readonly Rule[]
): Chain {
  return { name, hook: { type, number, priority }, rules };
}

/** A rule made of matches and statements of nft's language. */
export function rule(...phrases: readonly (readonly Expression[])[]): Rule {
  return { expressions: phrases.flat(), comment: "" };
}

export function commented(comment: string, { expressions }: Rule): Rule {
  return { expressions, comment };
}

/** `meta l4proto . th sport`: the key of a node port that a reply comes from. */
export const sourcePortFields: readonly Field[] = [expr.protocol, expr.sourcePort];

/** `ip daddr . meta l4proto . th dport`: the key of a frontend with an address. */
export function addressFields(family: TableFamily): readonly Field[] {
  return [expr.destination(family), expr.protocol, expr.destinationPort];
}

/** `ip saddr . meta l4proto . th sport`: the key of the frontend that a reply comes from. */
export function sourceFields(family: TableFamily): readonly Field[] {
  return [expr.source(family), expr.protocol, expr.sourcePort];
}

/** `meta l4proto . th dport`: the key of a NodePort. */
export const portFields: readonly Field[] = [expr.protocol, expr.destinationPort];

export function vmap(fields: readonly Field[], map: string): Expression[] {
  return [...expr.concat(...fields), expr.verdictOf(map)];
}

export function inSet(fields: readonly Field[], set: string): Expression[] {
  return [...expr.concat(...fields), expr.inSet(set)];
}

export function notInSet(fields: readonly Field[], set: string): Expression[] {
  return [...expr.concat(...fields), expr.inSet(set, true)];
}

/**
 * `ip daddr . meta l4proto . th dport . ip saddr != @set` for an interval set: the source is in no range of
 * the frontend.
 *
 * nft 1.0.6 converts the byte order of `meta l4proto` in such keys (`byteorder reg 9 = hton(reg 9, 2, 1)`), which
 * changes nothing, and which kernels reject since they require equal sizes: Debian's 6.12.117 and 7.2.12.
 */
export function notFromRangeOf(family: TableFamily, set: string): Expression[] {
  return notInSet([...addressFields(family), expr.source(family)], set);
}

/**
 * `ip saddr 10.0.0.0/8` or `ip daddr != 10.0.0.0/8`. `field` loads the first `length` bytes of the address.
 */
export function inCidr(
  field: (family: TableFamily, length?: number) => Field,
  op: "==" | "!=",
  family: TableFamily,
  cidr: Cidr,
): Expression[] {
  if (cidr.prefix > 0 && cidr.prefix % 8 === 0) {
    const bytes = cidr.prefix / 8;
    return [field(family, bytes).load(0), expr.compare(op, cidr.address.slice(0, bytes))];
  }
  const mask = prefixMask(cidr.prefix, cidr.address.length);
  return [
    field(family).load(0),
    expr.bitwise(mask, "\0".repeat(mask.length)),
    expr.compare(op, cidr.address),
  ];
}

/** The source is a pod of this node (docs/behaviour.md §4.2); undefined if that cannot be detected. */
export function fromLocalPod(
  op: "==" | "!=",
  family: TableFamily,
  localTraffic: LocalTraffic,
): Expression[] | undefined {
  switch (localTraffic.mode) {
    case "none":
      return undefined;
    case "cidr":
      return inCidr(expr.source, op, family, localTraffic.cidr);
    // Matches by name, not by index as in kube-proxy, because the interface may be created later or again.
    case "interface":
      return [
        expr.meta(nft.NFT_META_IIFNAME).load(0),
        expr.compare(op, localTraffic.name.padEnd(nft.IFNAMSIZ, "\0")),
      ];
    case "interface-prefix":
      return [expr.meta(nft.NFT_META_IIFNAME).load(0), expr.compare(op, localTraffic.prefix)];
  }
}

/** `fib saddr type local` or `fib daddr type != local` */
export function isOfThisNode(address: "saddr" | "daddr", op: "==" | "!=" = "=="): Expression[] {
  return [expr.addressType(address).load(0), expr.compare(op, u32le(nft.RTN_LOCAL))];
}

/** `meta mark set meta mark or 0x4000`: marks a connection to masquerade. */
export function setMark(mark: number): Expression[] {
  return [expr.meta(nft.NFT_META_MARK).load(0), expr.bitwise(u32le(~mark), u32le(mark), true), expr.setMark];
}

/** `meta mark and 0x4000 != 0` */
export function hasMark(mark: number): Expression[] {
  return [
    expr.meta(nft.NFT_META_MARK).load(0),
    expr.bitwise(u32le(mark), u32le(0), true),
    expr.compare("!=", u32le(0)),
  ];
}

/** `meta mark set meta mark xor 0x4000` */
export function flipMark(mark: number): Expression[] {
  return [
    expr.meta(nft.NFT_META_MARK).load(0),
    expr.bitwise(u32le(0xffffffff), u32le(mark), true),
    expr.setMark,
  ];
}

/** `ct state new` */
export function isNew(): Expression[] {
  return hasConntrackBit(nft.NFT_CT_STATE, nft.CT_STATE_NEW);
}

/** `ct status confirmed`: the packet is not the first one of its connection. */
export function isKnown(): Expression[] {
  return hasConntrackBit(nft.NFT_CT_STATUS, IPS_CONFIRMED);
}

/** `ct status ! confirmed`: the packet is the first one of its connection. */
export function isNotKnown(): Expression[] {
  return hasConntrackBit(nft.NFT_CT_STATUS, IPS_CONFIRMED, "==");
}

/** `ct status dnat` */
export function isDnated(): Expression[] {
  return hasConntrackBit(nft.NFT_CT_STATUS, IPS_DST_NAT);
}

/** `ct status ! dnat` */
export function isNotDnated(): Expression[] {
  return hasConntrackBit(nft.NFT_CT_STATUS, IPS_DST_NAT, "==");
}

/** `ct direction original`: the packet goes the way of the first one of its connection. */
export function isInDirection(direction: number): Expression[] {
  return [expr.ct(nft.NFT_CT_DIRECTION).load(0), expr.compare("==", String.fromCharCode(direction))];
}

/** `iifname != "lo"` */
export function isNotFromLoopback(): Expression[] {
  return [
    expr.meta(nft.NFT_META_IIFNAME).load(0),
    expr.compare("!=", "lo".padEnd(nft.IFNAMSIZ, "\0")),
  ];
}

/** `meta l4proto tcp` */
export function isProtocol(protocol: string): Expression[] {
  return [expr.protocol.load(0), expr.compare("==", protocol)];
}

/**
 * `dnat to <frontend> . numgen random mod N map @list`: to one of the N endpoints listed for the frontend.
 */
export function dnatToOneOf(
  family: TableFamily,
  frontend: readonly Field[],
  count: number,
  list: string,
): Expression[] {
  return [...expr.concat(...frontend, expr.random(count)), expr.valueOf(list), expr.dnatToValue(family)];
}

/** `dnat to 10.1.0.1:8080`; address and port are binary strings. */
export function dnatTo(family: TableFamily, address: string, port: string): Expression[] {
  return [expr.immediate(0, address), expr.immediate(4, port), expr.dnatToConstant(family)];
}

export function jump(chain: string): Expression[] {
  return [expr.verdict(nft.NFT_JUMP, chain)];
}

export function goTo(chain: string): Expression[] {
  return [expr.verdict(nft.NFT_GOTO, chain)];
}

export const drop: readonly Expression[] = [expr.verdict(nft.NF_DROP)];

export const accept: readonly Expression[] = [expr.verdict(nft.NF_ACCEPT)];

/** @param op how the bit compares to 0. */
function hasConntrackBit(key: number, bit: number, op: "==" | "!=" = "!="): Expression[] {
  return [expr.ct(key).load(0), expr.bitwise(u32le(bit), u32le(0)), expr.compare(op, u32le(0))];
}
