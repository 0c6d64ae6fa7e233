import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import * as nft from "./constants.ts";
import type { TableFamily } from "./families.ts";

/**
 * Writes one instruction of a rule. The bytes equal those that nft 1.0.6 sends for the same rule text,
 * including redundant instructions, so that any nft lists our rules as that text
 * (tests/backends/nftables/goldens.json).
 */
export type Expression = (message: MessageWriter, choiceId: number) => void;

/**
 * The register at a place: an index into the 64 bytes of registers, in units of 4 bytes. Every fourth place
 * also has a 16-byte register, which nft prefers.
 */
function register(place: number): number {
  return place % 4 === 0 ? nft.NFT_REG_1 + place / 4 : nft.NFT_REG32_00 + place;
}

/** A field of a key: a part of the packet, or a random number, that can be loaded into registers. */
export interface Field {
  /** Number of 4-byte registers. */
  readonly registers: number;
  load(place: number): Expression;
}

export function payload(base: number, offset: number, length: number): Field {
  return {
    registers: Math.ceil(length / 4),
    load: (place) =>
      expression("payload", (message) => {
        message.attrU32be(nft.NFTA_PAYLOAD_DREG, register(place));
        message.attrU32be(nft.NFTA_PAYLOAD_BASE, base);
        message.attrU32be(nft.NFTA_PAYLOAD_OFFSET, offset);
        message.attrU32be(nft.NFTA_PAYLOAD_LEN, length);
      }),
  };
}

export function source(family: TableFamily, length: number = family.addressBytes): Field {
  return payload(nft.NFT_PAYLOAD_NETWORK_HEADER, family.sourceOffset, length);
}

export function destination(family: TableFamily, length: number = family.addressBytes): Field {
  return payload(nft.NFT_PAYLOAD_NETWORK_HEADER, family.destinationOffset, length);
}

/** `th sport`: the same place in TCP, UDP and SCTP. */
export const sourcePort = payload(nft.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);

/** `th dport`, likewise */
export const destinationPort = payload(nft.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);

export function meta(key: number): Field {
  return {
    registers: key === nft.NFT_META_IIFNAME ? nft.IFNAMSIZ / 4 : 1,
    load: (place) =>
      expression("meta", (message) => {
        message.attrU32be(nft.NFTA_META_KEY, key);
        message.attrU32be(nft.NFTA_META_DREG, register(place));
      }),
  };
}

export const protocol = meta(nft.NFT_META_L4PROTO);

export function ct(key: number): Field {
  return {
    registers: 1,
    load: (place) =>
      expression("ct", (message) => {
        message.attrU32be(nft.NFTA_CT_KEY, key);
        message.attrU32be(nft.NFTA_CT_DREG, register(place));
      }),
  };
}

/** `ct reply ip saddr`: the source of replies in the conntrack entry. */
export function replySource({ addressBytes }: TableFamily): Field {
  return {
    registers: addressBytes / 4,
    load: (place) =>
      expression("ct", (message) => {
        message.attrU32be(nft.NFTA_CT_KEY, addressBytes === 4 ? nft.NFT_CT_SRC_IP : nft.NFT_CT_SRC_IP6);
        message.attrU32be(nft.NFTA_CT_DREG, register(place));
        message.attrU8(nft.NFTA_CT_DIRECTION, nft.IP_CT_DIR_REPLY);
      }),
  };
}

/** `numgen random mod N`: a number from 0 to N-1, in host byte order. */
export function random(modulus: number): Field {
  return {
    registers: 1,
    load: (place) =>
      expression("numgen", (message) => {
        message.attrU32be(nft.NFTA_NG_DREG, register(place));
        message.attrU32be(nft.NFTA_NG_MODULUS, modulus);
        message.attrU32be(nft.NFTA_NG_TYPE, nft.NFT_NG_RANDOM);
        message.attrU32be(nft.NFTA_NG_OFFSET, 0);
      }),
  };
}

/** `fib saddr type` or `fib daddr type`: an RTN_ constant. */
export function addressType(of: "saddr" | "daddr"): Field {
  return {
    registers: 1,
    load: (place) =>
      expression("fib", (message) => {
        message.attrU32be(nft.NFTA_FIB_FLAGS, of === "saddr" ? nft.NFTA_FIB_F_SADDR : nft.NFTA_FIB_F_DADDR);
        message.attrU32be(nft.NFTA_FIB_RESULT, nft.NFT_FIB_RESULT_ADDRTYPE);
        message.attrU32be(nft.NFTA_FIB_DREG, register(place));
      }),
  };
}

/** `a . b . c`: loads the fields side by side, from register 0 on. */
export function concat(...fields: readonly Field[]): Expression[] {
  let place = 0;
  return fields.map((field) => {
    const load = field.load(place);
    place += field.registers;
    return load;
  });
}

/** Ends the rule unless the comparison of register 0 with `value`, a binary string, is true. */
export function compare(op: "==" | "!=", value: string): Expression {
  return expression("cmp", (message) => {
    message.attrU32be(nft.NFTA_CMP_SREG, register(0));
    message.attrU32be(nft.NFTA_CMP_OP, op === "==" ? nft.NFT_CMP_EQ : nft.NFT_CMP_NEQ);
    message.nest(nft.NFTA_CMP_DATA, () => message.attrLatin1(nft.NFTA_DATA_VALUE, value));
  });
}

/** register 0 = (register 0 & mask) ^ xor. `mask` and `xor` are binary strings. */
export function bitwise(mask: string, xor: string, namesOperation = false): Expression {
  return expression("bitwise", (message) => {
    message.attrU32be(nft.NFTA_BITWISE_SREG, register(0));
    message.attrU32be(nft.NFTA_BITWISE_DREG, register(0));
    if (namesOperation) message.attrU32be(nft.NFTA_BITWISE_OP, nft.NFT_BITWISE_BOOL);
    message.attrU32be(nft.NFTA_BITWISE_LEN, mask.length);
    message.nest(nft.NFTA_BITWISE_MASK, () => message.attrLatin1(nft.NFTA_DATA_VALUE, mask));
    message.nest(nft.NFTA_BITWISE_XOR, () => message.attrLatin1(nft.NFTA_DATA_VALUE, xor));
  });
}

/** `meta mark set`: from register 0. */
export const setMark: Expression = expression("meta", (message) => {
  message.attrU32be(nft.NFTA_META_KEY, nft.NFT_META_MARK);
  message.attrU32be(nft.NFTA_META_SREG, register(0));
});

/** `@set`, or `!= @set`: ends the rule unless the key from register 0 on is (not) in the set. */
export function inSet(set: string, inverted = false): Expression {
  return expression("lookup", (message) => {
    message.attrU32be(nft.NFTA_LOOKUP_SREG, register(0));
    message.attrString(nft.NFTA_LOOKUP_SET, set);
    if (inverted) message.attrU32be(nft.NFTA_LOOKUP_FLAGS, nft.NFT_LOOKUP_F_INV);
  });
}

/** `vmap @map`: the verdict for the key from register 0 on. Ends the rule if the key is not in the map. */
export function verdictOf(map: string): Expression {
  return lookup(map, nft.NFT_REG_VERDICT);
}

/** `map @map`: loads the value for the key from register 0 on. Ends the rule if the key is not in the map. */
export function valueOf(map: string): Expression {
  return lookup(map, register(0));
}

/** `vmap { … }`: a verdict from the rule's anonymous map (Rule.choice). */
export const verdictOfChoice: Expression = (message, choiceId) =>
  expression("lookup", () => {
    message.attrU32be(nft.NFTA_LOOKUP_SREG, register(0));
    message.attrU32be(nft.NFTA_LOOKUP_DREG, nft.NFT_REG_VERDICT);
    message.attrString(nft.NFTA_LOOKUP_SET, CHOICE_MAP);
    message.attrU32be(nft.NFTA_LOOKUP_SET_ID, choiceId);
  })(message, choiceId);

/** The kernel replaces %d by a number. */
export const CHOICE_MAP = "__map%d";

/** `update @set { … }`: adds the key from register 0 on, or renews its timeout. */
export function update(set: string): Expression {
  return expression("dynset", (message) => updateAttributes(message, set));
}

/**
 * `update @set { … counter }`: counts the packet in the element with the key from register 0 on, and adds the element
 * if there is none. Ends the rule if the set is full.
 */
export function count(set: string): Expression {
  return expression("dynset", (message) => {
    updateAttributes(message, set);
    message.nest(nft.NFTA_DYNSET_EXPR, () => {
      message.attrString(nft.NFTA_EXPR_NAME, "counter");
      message.nest(nft.NFTA_EXPR_DATA, () => {});
    });
  });
}

function updateAttributes(message: MessageWriter, set: string): void {
  message.attrU32be(nft.NFTA_DYNSET_SREG_KEY, register(0));
  message.attrU32be(nft.NFTA_DYNSET_OP, nft.NFT_DYNSET_OP_UPDATE);
  message.attrString(nft.NFTA_DYNSET_SET_NAME, set);
}

/** `counter name "…"`: counts the packet in a named counter. */
export function countNamed(counter: string): Expression {
  return expression("objref", (message) => {
    message.attrU32be(nft.NFTA_OBJREF_IMM_TYPE, nft.NFT_OBJECT_COUNTER);
    message.attrLatin1(nft.NFTA_OBJREF_IMM_NAME, counter);
  });
}

/** Loads a constant. */
export function immediate(place: number, value: string): Expression {
  return expression("immediate", (message) => {
    message.attrU32be(nft.NFTA_IMMEDIATE_DREG, register(place));
    message.nest(nft.NFTA_IMMEDIATE_DATA, () => message.attrLatin1(nft.NFTA_DATA_VALUE, value));
  });
}

/** `drop`, `jump chain`, `goto chain`. */
export function verdict(code: number, chain?: string): Expression {
  return expression("immediate", (message) => {
    message.attrU32be(nft.NFTA_IMMEDIATE_DREG, nft.NFT_REG_VERDICT);
    message.nest(nft.NFTA_IMMEDIATE_DATA, () => verdictData(message, code, chain));
  });
}

/** The verdict of a rule or of a map element. */
export function verdictData(message: MessageWriter, code: number, chain: string | undefined): void {
  message.nest(nft.NFTA_DATA_VERDICT, () => {
    message.attrU32be(nft.NFTA_VERDICT_CODE, code >>> 0);
    if (chain !== undefined) message.attrString(nft.NFTA_VERDICT_CHAIN, chain);
  });
}

/** `dnat to` the address at register 0 and the port in the next register: the layout of a map value. */
export function dnatToValue(family: TableFamily): Expression {
  return expression("nat", (message) => {
    message.attrU32be(nft.NFTA_NAT_TYPE, nft.NFT_NAT_DNAT);
    message.attrU32be(nft.NFTA_NAT_FAMILY, family.nfproto);
    message.attrU32be(nft.NFTA_NAT_REG_ADDR_MIN, register(0));
    message.attrU32be(nft.NFTA_NAT_REG_PROTO_MIN, register(family.addressBytes / 4));
  });
}

/** `dnat to` the address in the first 16-byte register and the port in the second. */
export function dnatToConstant(family: TableFamily): Expression {
  return expression("nat", (message) => {
    message.attrU32be(nft.NFTA_NAT_TYPE, nft.NFT_NAT_DNAT);
    message.attrU32be(nft.NFTA_NAT_FAMILY, family.nfproto);
    message.attrU32be(nft.NFTA_NAT_REG_ADDR_MIN, register(0));
    message.attrU32be(nft.NFTA_NAT_REG_PROTO_MIN, register(4));
    message.attrU32be(nft.NFTA_NAT_FLAGS, nft.NF_NAT_RANGE_PROTO_SPECIFIED);
  });
}

/** `masquerade fully-random` */
export const masquerade: Expression = expression("masq", (message) => {
  message.attrU32be(nft.NFTA_MASQ_FLAGS, nft.NF_NAT_RANGE_PROTO_RANDOM_FULLY);
});

/** `reject`: ICMP port unreachable. */
export function reject(family: TableFamily): Expression {
  return expression("reject", (message) => {
    message.attrU32be(nft.NFTA_REJECT_TYPE, nft.NFT_REJECT_ICMP_UNREACH);
    message.attrU8(nft.NFTA_REJECT_ICMP_CODE, family.portUnreachable);
  });
}

function lookup(map: string, destinationRegister: number): Expression {
  return expression("lookup", (message) => {
    message.attrU32be(nft.NFTA_LOOKUP_SREG, register(0));
    message.attrU32be(nft.NFTA_LOOKUP_DREG, destinationRegister);
    message.attrString(nft.NFTA_LOOKUP_SET, map);
  });
}

/** An instruction with its name in the kernel and its attributes. */
export function expression(name: string, data: (message: MessageWriter) => void): Expression {
  return (message) => {
    message.nest(nft.NFTA_LIST_ELEM, () => {
      message.attrString(nft.NFTA_EXPR_NAME, name);
      message.nest(nft.NFTA_EXPR_DATA, () => data(message));
    });
  };
}
