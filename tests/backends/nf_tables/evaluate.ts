import { IPS_DST_NAT } from "../../../backends/conntrack/ctnetlink.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { protocolByte } from "../../../backends/nf_tables/set/keys.ts";
import type { Connection } from "../../../core/explain/trace/trace.ts";
import { must, value, type VirtualExpression, type VirtualSet, type VirtualTable } from "./virtual_table.ts";

/**
 * Evaluates the first packet of a connection as nf_tables does: passes it through the hooks that it passes in
 * the kernel, and interprets the expressions of their chains register by register. Knows nothing about
 * services.
 * @param draw the number that `numgen random` draws, before the modulo.
 * @param mark the mark that the packet has from its socket.
 */
export function evaluate(
  table: VirtualTable,
  connection: Connection,
  isLocal: (address: string) => boolean,
  draw: number,
  mark = 0,
): Evaluated {
  return new Packet(table, connection, isLocal, draw, mark).evaluate();
}

export interface Evaluated {
  readonly verdict: "accepted" | "rejected" | "dropped";
  /** The translated destination. Undefined if it was not translated. */
  readonly dnat: { readonly address: string; readonly port: number } | undefined;
  readonly isMasqueraded: boolean;
  /** The modulus of the last `numgen`; 0 if no number was drawn. */
  readonly modulus: number;
  /** Keys that rules added to dynamic sets. */
  readonly learned: readonly { readonly set: string; readonly key: string }[];
  /** Elements of dynamic sets whose counters counted the packet, and named counters, with the key "". */
  readonly counted: readonly { readonly set: string; readonly key: string }[];
}

type Verdict = "accept" | "drop" | "reject";
/** Effect of an expression: continue, end the rule, decide about the packet, or enter another chain. */
type Effect = "next" | "break" | Verdict | { readonly chain: string; readonly returns: boolean };

class Packet {
  readonly #table: VirtualTable;
  readonly #connection: Connection;
  readonly #isLocal: (address: string) => boolean;
  readonly #draw: number;
  readonly #registers = new Uint8Array(64 + 4);
  readonly #learned: { set: string; key: string }[] = [];
  readonly #counted: { set: string; key: string }[] = [];
  #destination: string;
  #port: number;
  #mark: number;
  #dnat: { address: string; port: number } | undefined;
  #isMasqueraded = false;
  #modulus = 0;

  constructor(
    table: VirtualTable,
    connection: Connection,
    isLocal: (address: string) => boolean,
    draw: number,
    mark: number,
  ) {
    this.#table = table;
    this.#connection = connection;
    this.#isLocal = isLocal;
    this.#draw = draw;
    this.#mark = mark;
    this.#destination = connection.destination;
    this.#port = connection.port;
  }

  evaluate(): Evaluated {
    const verdict = this.#passHooks();
    return {
      verdict: verdict === "drop" ? "dropped" : verdict === "reject" ? "rejected" : "accepted",
      dnat: this.#dnat,
      isMasqueraded: this.#isMasqueraded,
      modulus: this.#modulus,
      learned: this.#learned,
      counted: this.#counted,
    };
  }

  /** The hooks after NAT depend on the translated destination. */
  #passHooks(): Verdict {
    const first = this.#connection.incoming === undefined ? nft.NF_INET_LOCAL_OUT : nft.NF_INET_PRE_ROUTING;
    const verdict = this.#hook(first);
    if (verdict !== "accept") return verdict;
    const staysHere = this.#isLocal(this.#destination);
    if (this.#connection.incoming !== undefined && !staysHere) {
      const forwarded = this.#hook(nft.NF_INET_FORWARD);
      if (forwarded !== "accept") return forwarded;
    }
    if (this.#connection.incoming === undefined || !staysHere) {
      const sent = this.#hook(nft.NF_INET_POST_ROUTING);
      if (sent !== "accept") return sent;
    }
    // A packet of the node to itself re-enters after translation, so it passes no hook before that again.
    return staysHere ? this.#hook(nft.NF_INET_LOCAL_IN) : "accept";
  }

  #hook(number: number): Verdict {
    const chains = [...this.#table.chains]
      .flatMap(([name, { hook }]) => hook?.number === number ? [{ name, priority: hook.priority }] : [])
      .sort((a, b) => a.priority - b.priority);
    for (const { name } of chains) {
      const verdict = this.#chain(name);
      if (verdict === "drop" || verdict === "reject") return verdict;
    }
    return "accept";
  }

  /** @returns undefined if the chain ends without a verdict. */
  #chain(name: string): Verdict | undefined {
    for (const rule of must(this.#table.chains.get(name), name).rules) {
      const effect = this.#rule(rule);
      if (effect === "break") continue;
      if (typeof effect === "string") return effect;
      const verdict = this.#chain(effect.chain);
      if (verdict !== undefined || !effect.returns) return verdict;
    }
    return undefined;
  }

  #rule(expressions: readonly VirtualExpression[]): Exclude<Effect, "next"> {
    for (const expression of expressions) {
      const effect = this.#expression(expression);
      if (effect !== "next") return effect;
    }
    return "break";
  }

  #expression({ name, fields, choice }: VirtualExpression): Effect {
    const u32 = (type: number) => must(fields.get(type), `attribute ${type} of ${name}`).u32be();
    switch (name) {
      case "payload": {
        const header = u32(nft.NFTA_PAYLOAD_BASE) === nft.NFT_PAYLOAD_NETWORK_HEADER
          ? this.#networkHeader()
          : `\0\0${bytesOf(this.#port)}`;
        const offset = u32(nft.NFTA_PAYLOAD_OFFSET);
        const loaded = header.slice(offset, offset + u32(nft.NFTA_PAYLOAD_LEN));
        return this.#load(u32(nft.NFTA_PAYLOAD_DREG), loaded);
      }
      case "meta":
        return this.#meta(fields.get(nft.NFTA_META_SREG)?.u32be(), u32);
      case "ct": {
        const isState = u32(nft.NFTA_CT_KEY) === nft.NFT_CT_STATE;
        const status = this.#dnat === undefined ? 0 : IPS_DST_NAT;
        return this.#load(u32(nft.NFTA_CT_DREG), u32le(isState ? nft.CT_STATE_NEW : status));
      }
      case "fib": {
        const ofSource = u32(nft.NFTA_FIB_FLAGS) === nft.NFTA_FIB_F_SADDR;
        const isLocal = this.#isLocal(ofSource ? this.#connection.source : this.#destination);
        return this.#load(u32(nft.NFTA_FIB_DREG), u32le(isLocal ? nft.RTN_LOCAL : RTN_UNICAST));
      }
      case "numgen":
        this.#modulus = u32(nft.NFTA_NG_MODULUS);
        return this.#load(u32(nft.NFTA_NG_DREG), u32le(this.#draw % this.#modulus + u32(nft.NFTA_NG_OFFSET)));
      case "cmp": {
        const expected = value(fields.get(nft.NFTA_CMP_DATA));
        const isEqual = this.#read(u32(nft.NFTA_CMP_SREG), expected.length) === expected;
        return isEqual === (u32(nft.NFTA_CMP_OP) === nft.NFT_CMP_EQ) ? "next" : "break";
      }
      case "bitwise": {
        const mask = value(fields.get(nft.NFTA_BITWISE_MASK));
        const xor = value(fields.get(nft.NFTA_BITWISE_XOR));
        const read = this.#read(u32(nft.NFTA_BITWISE_SREG), u32(nft.NFTA_BITWISE_LEN));
        const bytes = Array.from(read, (_, i) => read.charCodeAt(i) & mask.charCodeAt(i) ^ xor.charCodeAt(i));
        return this.#load(u32(nft.NFTA_BITWISE_DREG), String.fromCharCode(...bytes));
      }
      case "lookup": {
        const set = choice ?? must(this.#table.sets.get(must(fields.get(nft.NFTA_LOOKUP_SET)).string()));
        return this.#lookup(
          set,
          u32(nft.NFTA_LOOKUP_SREG),
          fields.get(nft.NFTA_LOOKUP_DREG)?.u32be(),
          (fields.get(nft.NFTA_LOOKUP_FLAGS)?.u32be() ?? 0) === nft.NFT_LOOKUP_F_INV,
        );
      }
      case "objref":
        this.#counted.push({ set: must(fields.get(nft.NFTA_OBJREF_IMM_NAME)).string(), key: "" });
        return "next";
      case "dynset": {
        const set = must(fields.get(nft.NFTA_DYNSET_SET_NAME)).string();
        const { keyLength } = must(this.#table.sets.get(set), set);
        const element = { set, key: this.#read(u32(nft.NFTA_DYNSET_SREG_KEY), keyLength) };
        (fields.has(nft.NFTA_DYNSET_EXPR) ? this.#counted : this.#learned).push(element);
        return "next";
      }
      case "immediate": {
        const data = must(fields.get(nft.NFTA_IMMEDIATE_DATA));
        const verdict = data.attribute(nft.NFTA_DATA_VERDICT);
        if (verdict === undefined) return this.#load(u32(nft.NFTA_IMMEDIATE_DREG), value(data));
        const code = must(verdict.attribute(nft.NFTA_VERDICT_CODE)).u32be() | 0;
        return effectOf(code, verdict.attribute(nft.NFTA_VERDICT_CHAIN)?.string());
      }
      case "nat":
        return this.#translate(u32(nft.NFTA_NAT_REG_ADDR_MIN), u32(nft.NFTA_NAT_REG_PROTO_MIN));
      case "masq":
        this.#isMasqueraded = true;
        return "accept";
      case "reject":
        return "reject";
      default:
        throw new Error(`unknown expression ${name}`);
    }
  }

  #meta(sourceRegister: number | undefined, u32: (type: number) => number): Effect {
    const key = u32(nft.NFTA_META_KEY);
    if (sourceRegister !== undefined) {
      const mark = this.#read(sourceRegister, 4);
      this.#mark = [3, 2, 1, 0].reduce((all, i) => all * 256 + mark.charCodeAt(i), 0);
      return "next";
    }
    const { protocol, incoming = "" } = this.#connection;
    const loaded = key === nft.NFT_META_MARK
      ? u32le(this.#mark)
      : key === nft.NFT_META_L4PROTO
      ? protocolByte(protocol)
      : incoming.padEnd(nft.IFNAMSIZ, "\0");
    return this.#load(u32(nft.NFTA_META_DREG), loaded);
  }

  #lookup(set: VirtualSet, from: number, to: number | undefined, isInverted: boolean): Effect {
    const key = this.#read(from, set.keyLength);
    const found = set.ranges === undefined ? set.elements.get(key) : inRange(set, set.ranges, key);
    if (to === undefined) return (found !== undefined) === isInverted ? "break" : "next";
    if (found === undefined) return "break";
    return found.verdict === undefined ? this.#load(to, found.data) : effectOf(found.verdict, found.chain);
  }

  #translate(addressRegister: number, portRegister: number): Effect {
    const address = this.#read(addressRegister, this.#destination.length);
    const port = this.#read(portRegister, 2);
    this.#destination = address;
    this.#port = port.charCodeAt(0) * 256 + port.charCodeAt(1);
    this.#dnat = { address: this.#destination, port: this.#port };
    return "accept";
  }

  /** The part of struct iphdr or struct ipv6hdr that rules load. */
  #networkHeader(): string {
    const before = this.#destination.length === 4 ? 12 : 8;
    return "\0".repeat(before) + this.#connection.source + this.#destination;
  }

  /** Pads the value to 4 bytes. */
  #load(register: number, bytes: string): "next" {
    const at = offsetOf(register);
    for (let i = 0; i < bytes.length + 3 >> 2 << 2; i++) {
      this.#registers[at + i] = i < bytes.length ? bytes.charCodeAt(i) : 0;
    }
    return "next";
  }

  #read(register: number, length: number): string {
    const at = offsetOf(register);
    return String.fromCharCode(...this.#registers.subarray(at, at + length));
  }
}

const RTN_UNICAST = 1; // linux/rtnetlink.h

function offsetOf(register: number): number {
  return register < nft.NFT_REG32_00 ? (register - nft.NFT_REG_1) * 16 : (register - nft.NFT_REG32_00) * 4;
}

function effectOf(code: number, chain: string | undefined): Effect {
  if (code === nft.NF_DROP) return "drop";
  if (code === nft.NF_ACCEPT) return "accept";
  if (code === nft.NFT_JUMP || code === nft.NFT_GOTO) {
    return { chain: must(chain), returns: code === nft.NFT_JUMP };
  }
  throw new Error(`unknown verdict ${code}`);
}

/** Finds the range whose fields all contain those of the key. */
function inRange({ elements }: VirtualSet, lengths: readonly number[], key: string) {
  for (const [start, element] of elements) {
    let at = 0;
    const isMatch = lengths.every((length) => {
      const field = key.slice(at, at + length);
      const isIn = start.slice(at, at + length) <= field && field <= element.end.slice(at, at + length);
      at += length;
      return isIn;
    });
    if (isMatch) return element;
  }
  return undefined;
}

function bytesOf(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff);
}

function u32le(value: number): string {
  return String.fromCharCode(value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24);
}
