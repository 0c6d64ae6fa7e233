import {
  addressFromBytes,
  cidrOf,
  formatAddress,
  formatCidr,
  formatSocketAddress,
} from "../../../core/net/address.ts";
import { type Attribute, attributes } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { IPS_CONFIRMED, IPS_DST_NAT } from "../../conntrack/ctnetlink.ts";
import { protocolOfNumber } from "../../protocol_numbers.ts";
import * as nft from "../constants.ts";
import { CHOICE_MAP } from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import type { Rule } from "../rules.ts";

/** Renders a rule in nft's language, as `nft list` does: the instructions of all rules that we write. */
export function ruleText(family: TableFamily, { expressions, choice, comment }: Rule): string {
  const message = new MessageWriter();
  for (const expression of expressions) expression(message, 0);
  const reader = new RuleReader(family, choice ?? []);
  for (const element of attributes(message.bytes())) {
    const name = element.attribute(nft.NFTA_EXPR_NAME)?.string() ?? "";
    reader.read(name, new Parts(element.attribute(nft.NFTA_EXPR_DATA)));
  }
  return [...reader.statements, ...(comment === "" ? [] : [`comment ${quoted(comment)}`])].join(" ");
}

export function quoted(text: string): string {
  return `"${text}"`;
}

/** The attributes of an instruction. */
class Parts {
  readonly #data: Attribute | undefined;

  constructor(data: Attribute | undefined) {
    this.#data = data;
  }

  number(type: number): number | undefined {
    return this.#data?.attribute(type)?.u32be();
  }

  text(type: number): string {
    return this.#data?.attribute(type)?.string() ?? "";
  }

  nested(type: number): Attribute | undefined {
    return this.#data?.attribute(type);
  }

  /** The bytes of NFTA_DATA_VALUE. */
  value(type: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#data?.attribute(type)?.attribute(nft.NFTA_DATA_VALUE)?.bytes ?? []);
  }
}

/** A value in registers: its text, and what it is compared with. */
interface Loaded {
  readonly text: string;
  readonly kind:
    | "address"
    | "protocol"
    | "mark"
    | "state"
    | "status"
    | "direction"
    | "name"
    | "type"
    | "other";
  /** The bytes of a constant. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** The bits that `bitwise` kept. */
  readonly mask?: Uint8Array<ArrayBuffer>;
}

/** Follows the instructions of a rule. */
class RuleReader {
  readonly statements: string[] = [];
  readonly #family: TableFamily;
  readonly #choice: readonly string[];
  /** Values in registers that no instruction has used, in the order in which they were loaded. */
  #loaded: Loaded[] = [];

  constructor(family: TableFamily, choice: readonly string[]) {
    this.#family = family;
    this.#choice = choice;
  }

  read(name: string, parts: Parts): void {
    switch (name) {
      case "payload":
        return this.#load(this.#payload(parts));
      case "meta":
        return this.#meta(parts);
      case "ct":
        return this.#load(this.#conntrack(parts));
      case "numgen":
        return this.#load({ text: `numgen random mod ${parts.number(nft.NFTA_NG_MODULUS)}`, kind: "other" });
      case "fib": {
        const isSource = parts.number(nft.NFTA_FIB_FLAGS) === nft.NFTA_FIB_F_SADDR;
        return this.#load({ text: `fib ${isSource ? "saddr" : "daddr"} type`, kind: "type" });
      }
      case "bitwise":
        return this.#bitwise(parts);
      case "cmp":
        return this.#compare(parts);
      case "lookup":
        return this.#lookup(parts);
      case "dynset": {
        const counter = parts.nested(nft.NFTA_DYNSET_EXPR) === undefined ? "" : " counter";
        return this.#state(`update @${parts.text(nft.NFTA_DYNSET_SET_NAME)} { ${this.#key()}${counter} }`);
      }
      case "objref":
        return this.#state(`counter name ${quoted(parts.text(nft.NFTA_OBJREF_IMM_NAME))}`);
      case "immediate":
        return this.#immediate(parts);
      case "nat":
        return this.#nat();
      case "masq":
        return this.#state("masquerade fully-random");
      case "reject":
        return this.#state("reject");
      default:
        throw new Error(`no text for the instruction ${name}`);
    }
  }

  #load(loaded: Loaded): void {
    this.#loaded.push(loaded);
  }

  #state(statement: string): void {
    this.statements.push(statement);
    this.#loaded = [];
  }

  /** The loaded values as a key. */
  #key(): string {
    return this.#loaded.map(({ text }) => text).join(" . ");
  }

  #payload(parts: Parts): Loaded {
    const { keyword, sourceOffset, destinationOffset } = this.#family;
    const offset = parts.number(nft.NFTA_PAYLOAD_OFFSET);
    if (parts.number(nft.NFTA_PAYLOAD_BASE) === nft.NFT_PAYLOAD_TRANSPORT_HEADER) {
      return { text: offset === 0 ? "th sport" : "th dport", kind: "other" };
    }
    if (offset === sourceOffset) return { text: `${keyword} saddr`, kind: "address" };
    if (offset === destinationOffset) return { text: `${keyword} daddr`, kind: "address" };
    throw new Error(`no text for the field at offset ${offset} of the network header`);
  }

  #meta(parts: Parts): void {
    const key = parts.number(nft.NFTA_META_KEY);
    if (parts.number(nft.NFTA_META_SREG) !== undefined) return this.#state(`meta mark set ${this.#key()}`);
    if (key === nft.NFT_META_L4PROTO) this.#load({ text: "meta l4proto", kind: "protocol" });
    else if (key === nft.NFT_META_IIFNAME) this.#load({ text: "iifname", kind: "name" });
    else if (key === nft.NFT_META_MARK) this.#load({ text: "meta mark", kind: "mark" });
    else throw new Error(`no text for the meta key ${key}`);
  }

  #conntrack(parts: Parts): Loaded {
    const key = parts.number(nft.NFTA_CT_KEY);
    if (key === nft.NFT_CT_STATE) return { text: "ct state", kind: "state" };
    if (key === nft.NFT_CT_STATUS) return { text: "ct status", kind: "status" };
    if (key === nft.NFT_CT_DIRECTION) return { text: "ct direction", kind: "direction" };
    return { text: `ct reply ${this.#family.keyword} saddr`, kind: "address" };
  }

  #bitwise(parts: Parts): void {
    const [mask, xor] = [parts.value(nft.NFTA_BITWISE_MASK), parts.value(nft.NFTA_BITWISE_XOR)];
    const last = this.#loaded.pop();
    if (last === undefined) throw new Error("no text for an operation without a value");
    if (last.kind !== "mark") return this.#load({ ...last, mask });
    const [kept, flipped] = [u32le(mask), u32le(xor)];
    const operation = flipped === 0
      ? `and ${hex(kept)}`
      : kept === 0xffffffff
      ? `xor ${hex(flipped)}`
      : `or ${hex(flipped)}`;
    this.#load({ ...last, text: `${last.text} ${operation}` });
  }

  #compare(parts: Parts): void {
    const isEqual = parts.number(nft.NFTA_CMP_OP) === nft.NFT_CMP_EQ;
    const value = parts.value(nft.NFTA_CMP_DATA);
    const [loaded] = this.#loaded;
    if (loaded === undefined) throw new Error("no text for a comparison without a value");
    const { text, kind, mask } = loaded;
    const operator = isEqual ? "" : "!= ";
    switch (kind) {
      case "address":
        return this.#state(`${text} ${operator}${this.#prefix(value, mask)}`);
      case "protocol":
        return this.#state(`${text} ${operator}${protocolOfNumber(value[0] ?? 0)?.toLowerCase()}`);
      case "name":
        return this.#state(`${text} ${operator}${quoted(interfaceName(value))}`);
      case "type":
        return this.#state(`${text} ${operator}local`);
      case "direction":
        return this.#state(`${text} ${operator}${value[0] === nft.IP_CT_DIR_REPLY ? "reply" : "original"}`);
      case "mark":
        return this.#state(`${text} ${operator}${hex(u32le(value))}`);
      case "state":
      case "status":
        // The bit that the mask leaves is compared with 0.
        return this.#state(`${text} ${isEqual ? "! " : ""}${conntrackBit(kind, u32le(mask ?? value))}`);
      case "other":
        throw new Error(`no text for a comparison of ${text}`);
    }
  }

  /** An address, or a prefix: of whole bytes, or with a mask. */
  #prefix(value: Uint8Array<ArrayBuffer>, mask: Uint8Array | undefined): string {
    const bytes = new Uint8Array(this.#family.addressBytes);
    bytes.set(value);
    const prefix = mask === undefined
      ? value.length * 8
      : [...mask].reduce((bits, byte) => bits + byte.toString(2).replaceAll("0", "").length, 0);
    const address = addressFromBytes(bytes);
    return prefix === bytes.length * 8 ? formatAddress(address) : formatCidr(cidrOf(address, prefix));
  }

  #lookup(parts: Parts): void {
    const set = parts.text(nft.NFTA_LOOKUP_SET);
    const register = parts.number(nft.NFTA_LOOKUP_DREG);
    const isInverted = ((parts.number(nft.NFTA_LOOKUP_FLAGS) ?? 0) & nft.NFT_LOOKUP_F_INV) !== 0;
    const key = this.#key();
    if (register === undefined) return this.#state(`${key} ${isInverted ? "!= " : ""}@${set}`);
    if (register !== nft.NFT_REG_VERDICT) {
      this.#loaded = [{ text: `${key} map @${set}`, kind: "other" }];
    } else if (set !== CHOICE_MAP) {
      this.#state(`${key} vmap @${set}`);
    } else {
      const choices = this.#choice.map((chain, index) => `${index} : goto ${chain}`);
      this.#state(`${key} vmap { ${choices.join(", ")} }`);
    }
  }

  #immediate(parts: Parts): void {
    if (parts.number(nft.NFTA_IMMEDIATE_DREG) !== nft.NFT_REG_VERDICT) {
      return this.#load({ text: "", kind: "other", bytes: parts.value(nft.NFTA_IMMEDIATE_DATA) });
    }
    this.#state(verdictText(parts.nested(nft.NFTA_IMMEDIATE_DATA)?.attribute(nft.NFTA_DATA_VERDICT)));
  }

  #nat(): void {
    const [address, port] = this.#loaded;
    if (address?.bytes === undefined) return this.#state(`dnat ${this.#family.keyword} to ${this.#key()}`);
    const [high = 0, low = 0] = port?.bytes ?? [];
    this.#state(`dnat to ${formatSocketAddress(addressFromBytes(address.bytes), high << 8 | low)}`);
  }
}

/** Renders NFTA_DATA_VERDICT: `drop`, `accept`, `jump CHAIN`, `goto CHAIN`. */
export function verdictText(verdict: Attribute | undefined): string {
  const code = (verdict?.attribute(nft.NFTA_VERDICT_CODE)?.u32be() ?? 0) | 0;
  const chain = verdict?.attribute(nft.NFTA_VERDICT_CHAIN)?.string() ?? "";
  switch (code) {
    case nft.NF_DROP:
      return "drop";
    case nft.NF_ACCEPT:
      return "accept";
    case nft.NFT_JUMP:
      return `jump ${chain}`;
    case nft.NFT_GOTO:
      return `goto ${chain}`;
    default:
      throw new Error(`no text for the verdict ${code}`);
  }
}

/** A whole name ends with NUL bytes. A prefix does not. */
function interfaceName(value: Uint8Array): string {
  const text = new TextDecoder().decode(value);
  const end = text.indexOf("\0");
  return end < 0 && value.length < nft.IFNAMSIZ ? `${text}*` : text.slice(0, end < 0 ? undefined : end);
}

function conntrackBit(kind: "state" | "status", bit: number): string {
  if (kind === "state" && bit === nft.CT_STATE_NEW) return "new";
  if (kind === "status" && bit === IPS_DST_NAT) return "dnat";
  if (kind === "status" && bit === IPS_CONFIRMED) return "confirmed";
  throw new Error(`no text for the bit ${bit} of ct ${kind}`);
}

function u32le(bytes: Uint8Array<ArrayBuffer>): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
