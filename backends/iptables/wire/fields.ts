import type { Protocol } from "../../../core/net/protocol.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import { compare, type Expression, expression, meta, payload } from "../../nf_tables/expressions.ts";
import { type TableFamily, tableFamilyOf } from "../../nf_tables/families.ts";
import { prefixMask } from "../../nf_tables/set/keys.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import type { AddressMatch, IptablesRule } from "../rules/rule.ts";
import { template, templates } from "./template.ts";

/**
 * Writes the comparisons of packet fields, which are native in iptables-nft: `-i`, `-p`, `-s`, `-d`, in this
 * order.
 */
export function writeFields(message: MessageWriter, family: TableFamily, rule: IptablesRule): void {
  const { source, destination } = family.family === "IPv4" ? ipv4 : ipv6;
  if (rule.inInterface !== undefined) writeInterface(message, rule.inInterface);
  if (rule.protocol !== undefined) message.rawBytes(protocols[rule.protocol].bytes);
  if (rule.source !== undefined) writeAddress(message, source, rule.source);
  if (rule.destination !== undefined) writeAddress(message, destination, rule.destination);
}

/** register 1 = register 1 & mask, in the form that the kernel lists. `mask` is a binary string. */
export function maskedBy(mask: string): Expression {
  return expression("bitwise", (message) => {
    message.attrU32be(nft.NFTA_BITWISE_SREG, nft.NFT_REG_1);
    message.attrU32be(nft.NFTA_BITWISE_DREG, nft.NFT_REG_1);
    message.attrU32be(nft.NFTA_BITWISE_LEN, mask.length);
    message.attrU32be(nft.NFTA_BITWISE_OP, nft.NFT_BITWISE_BOOL);
    message.nest(nft.NFTA_BITWISE_MASK, () => message.attrLatin1(nft.NFTA_DATA_VALUE, mask));
    message.nest(nft.NFTA_BITWISE_XOR, () => message.attrLatin1(nft.NFTA_DATA_VALUE, zeros(mask.length)));
  });
}

export function operator(inverted: boolean): "==" | "!=" {
  return inverted ? "!=" : "==";
}

const protocols = {
  TCP: protocolIs(PROTOCOL_NUMBERS.TCP),
  UDP: protocolIs(PROTOCOL_NUMBERS.UDP),
  SCTP: protocolIs(PROTOCOL_NUMBERS.SCTP),
} as const satisfies Record<Protocol, unknown>;

function protocolIs(number: number) {
  return template(0, meta(nft.NFT_META_L4PROTO).load(0), compare("==", String.fromCharCode(number)));
}

const ipv4 = addressesOf(tableFamilyOf("IPv4"));
const ipv6 = addressesOf(tableFamilyOf("IPv6"));

type ByPrefix = ReturnType<typeof byPrefix>;

function addressesOf({ sourceOffset, destinationOffset, addressBytes }: TableFamily) {
  return {
    source: byPrefix(sourceOffset, addressBytes),
    destination: byPrefix(destinationOffset, addressBytes),
  };
}

function byPrefix(offset: number, addressBytes: number) {
  const compared = (inverted: boolean) =>
    templates((prefix) => {
      // A prefix of whole bytes needs no mask, and iptables-nft writes none.
      const length = prefix % 8 === 0 ? prefix / 8 : addressBytes;
      const load = payload(nft.NFT_PAYLOAD_NETWORK_HEADER, offset, length).load(0);
      const test = compare(operator(inverted), zeros(length));
      return prefix % 8 === 0
        ? template(length, load, test)
        : template(length, load, maskedBy(prefixMask(prefix, addressBytes)), test);
    });
  return { plain: compared(false), inverted: compared(true) };
}

function writeAddress(message: MessageWriter, byPrefix: ByPrefix, { cidr, inverted }: AddressMatch): void {
  const { address, prefix } = cidr;
  // Prefix 0 matches every address.
  if (prefix === 0 && !inverted) return;
  const { bytes, hole } = (inverted ? byPrefix.inverted : byPrefix.plain)(prefix);
  message.patchLatin1(
    message.rawBytes(bytes) + hole,
    address,
    prefix % 8 === 0 ? prefix / 8 : address.length,
  );
}

const interfaceIs = interfaces(false);
const interfaceIsNot = interfaces(true);

/**
 * Templates by the number of compared bytes: a whole name includes the terminating NUL, a prefix does not.
 */
function interfaces(inverted: boolean) {
  return templates((length) =>
    template(length, meta(nft.NFT_META_IIFNAME).load(0), compare(operator(inverted), zeros(length)))
  );
}

function writeInterface(
  message: MessageWriter,
  { name, inverted }: { readonly name: string; readonly inverted: boolean },
): void {
  const isPrefix = name.endsWith("+");
  const length = isPrefix ? name.length - 1 : name.length;
  if (length === 0 || name.length >= nft.IFNAMSIZ) {
    throw new RangeError(
      `iptables: "${name}" is not an interface name: it must have 1 to ${nft.IFNAMSIZ - 1} bytes`,
    );
  }
  const { bytes, hole } = (inverted ? interfaceIsNot : interfaceIs)(isPrefix ? length : length + 1);
  message.patchLatin1(message.rawBytes(bytes) + hole, name, length);
}

function zeros(length: number): string {
  return "\0".repeat(length);
}
