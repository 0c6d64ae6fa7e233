import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { IptablesRule } from "../rules/rule.ts";
import { writeFields } from "./fields.ts";
import { writeMatch } from "./matches.ts";
import { writeTarget } from "./targets.ts";
import { template } from "./template.ts";

/**
 * Writes a rule's attributes of NFT_MSG_NEWRULE: NFTA_RULE_EXPRESSIONS, and NFTA_RULE_COMPAT if the rule
 * needs it. Names and comments are ASCII.
 * @throws RangeError when a name or comment is too long.
 */
export function writeRule(message: MessageWriter, family: TableFamily, rule: IptablesRule): void {
  const mark = message.nestStart(nft.NFTA_RULE_EXPRESSIONS);
  writeExpressions(message, family, rule);
  message.nestEnd(mark);
  if (rule.protocol !== undefined && needsProtocol(rule)) message.rawBytes(protocols[rule.protocol].bytes);
}

/**
 * Writes the contents of NFTA_RULE_EXPRESSIONS. They equal byte for byte what the kernel lists for the same
 * rule of iptables-nft 1.8.9, with counters of 0 (tests/backends/iptables/goldens.json).
 */
export function writeExpressions(message: MessageWriter, family: TableFamily, rule: IptablesRule): void {
  writeFields(message, family, rule);
  for (const match of rule.matches) writeMatch(message, rule.protocol, match);
  writeTarget(message, family, rule.target);
}

/**
 * Reports whether the rule has the x_tables match tcp, udp or sctp, which the kernel rejects without
 * NFTA_RULE_COMPAT.
 */
function needsProtocol({ protocol, matches }: IptablesRule): boolean {
  return matches.some(({ match }) => match === "protocol" || (match === "dport" && protocol === "SCTP"));
}

const protocols = {
  TCP: compat(PROTOCOL_NUMBERS.TCP),
  UDP: compat(PROTOCOL_NUMBERS.UDP),
  SCTP: compat(PROTOCOL_NUMBERS.SCTP),
} as const;

/** NFTA_RULE_COMPAT, which the kernel never lists. */
function compat(protocol: number) {
  return template(0, (message) =>
    message.nest(nft.NFTA_RULE_COMPAT, () => {
      message.attrU32be(nft.NFTA_RULE_COMPAT_PROTO, protocol);
      message.attrU32be(nft.NFTA_RULE_COMPAT_FLAGS, 0);
    }));
}
