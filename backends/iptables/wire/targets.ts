import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import { verdict } from "../../nf_tables/expressions.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { Target } from "../rules/rule.ts";
import { counter, type Template, template, templates, xtTarget } from "./template.ts";
import * as xt from "./xt.ts";

/** Writes the end of a rule: its counter, and `-j …`. */
export function writeTarget(message: MessageWriter, family: TableFamily, target: Target | undefined): void {
  if (target === undefined) {
    message.rawBytes(onlyCounts.bytes);
    return;
  }
  switch (target.target) {
    case "jump": {
      const { bytes, hole } = jumpTo(target.chain.length);
      return message.patchLatin1(message.rawBytes(bytes) + hole, target.chain);
    }
    case "DNAT":
      return writeDnat(message, target.address, target.port);
    case "MARK":
      return writeMarkChange(message, target.value, target.mask);
    case "REJECT":
    case "MASQUERADE":
      message.rawBytes((family.family === "IPv4" ? ipv4 : ipv6)[target.target].bytes);
      return;
    case "ACCEPT":
    case "DROP":
    case "RETURN":
      message.rawBytes(verdicts[target.target].bytes);
      return;
  }
}

const onlyCounts = template(0, counter);

/** Templates by the length of the chain's name, which a NUL terminates. */
const jumpTo = templates((length) =>
  template(length + 1, counter, verdict(nft.NFT_JUMP, "x".repeat(length)))
);

const verdicts = {
  ACCEPT: template(0, counter, verdict(nft.NF_ACCEPT)),
  DROP: template(0, counter, verdict(nft.NF_DROP)),
  RETURN: template(0, counter, verdict(nft.NFT_RETURN)),
} as const;

const ipv4 = {
  REJECT: rejectWith(xt.IPT_ICMP_PORT_UNREACHABLE),
  MASQUERADE: xtTarget(xt.MASQUERADE_IPV4, (info) => {
    info.setUint32(xt.MASQUERADE_IPV4.rangesize, 1, true);
    info.setUint32(xt.MASQUERADE_IPV4.flags, nft.NF_NAT_RANGE_PROTO_RANDOM_FULLY, true);
  }),
} as const;

const ipv6 = {
  REJECT: rejectWith(xt.IP6T_ICMP6_PORT_UNREACH),
  MASQUERADE: xtTarget(xt.MASQUERADE_IPV6, (info) => {
    info.setUint32(xt.MASQUERADE_IPV6.flags, nft.NF_NAT_RANGE_PROTO_RANDOM_FULLY, true);
  }),
} as const;

function rejectWith(type: number): Template {
  return xtTarget(xt.REJECT, (info) => info.setUint32(xt.REJECT.with, type, true));
}

const dnat = xtTarget(xt.DNAT, (info) => {
  info.setUint32(xt.DNAT.flags, xt.NF_NAT_RANGE_MAP_IPS | nft.NF_NAT_RANGE_PROTO_SPECIFIED, true);
});

/** Writes a DNAT range of one address and one port. */
function writeDnat(message: MessageWriter, address: string, port: number): void {
  const at = message.rawBytes(dnat.bytes) + dnat.hole;
  message.patchLatin1(at + xt.DNAT.min_addr, address);
  message.patchLatin1(at + xt.DNAT.max_addr, address);
  message.patchU16be(at + xt.DNAT.min_proto, port);
  message.patchU16be(at + xt.DNAT.max_proto, port);
}

const mark = xtTarget(xt.MARK);

function writeMarkChange(message: MessageWriter, value: number, mask: number): void {
  const at = message.rawBytes(mark.bytes) + mark.hole;
  message.patchU32le(at + xt.MARK.mark, value);
  message.patchU32le(at + xt.MARK.mask, mask);
}
