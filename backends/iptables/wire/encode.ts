import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { writeFields } from "./fields.ts";
import { writeMatch } from "./matches.ts";
import type { Rule } from "../rules/rule.ts";
import { writeTarget } from "./targets.ts";
import { template } from "./template.ts";

/**
 * What a rule is, as attributes of NFT_MSG_NEWRULE: NFTA_RULE_EXPRESSIONS, and NFTA_RULE_COMPAT where it is needed.
 * @throws RangeError when a name or comment has no room. Names and comments are ASCII.
 */
export function writeRule(message: MessageWriter, family: TableFamily, rule: Rule): void {
  const mark = message.nestStart(nft.NFTA_RULE_EXPRESSIONS);
  writeExpressions(message, family, rule);
  message.nestEnd(mark);
  if (rule.protocol !== undefined && needsProtocol(rule)) message.rawBytes(protocols[rule.protocol].bytes);
}

/**
 * The contents of NFTA_RULE_EXPRESSIONS: byte for byte what the kernel lists for the same rule of iptables-nft 1.8.9,
 * with counters of 0 (tests/backends/iptables/goldens.json).
 */
export function writeExpressions(message: MessageWriter, family: TableFamily, rule: Rule): void {
  writeFields(message, family, rule);
  for (const match of rule.matches) writeMatch(message, rule.protocol, match);
  writeTarget(message, family, rule.target);
}

/** The matches tcp, udp and sctp of x_tables are refused unless the rule says its protocol in this way, too. */
function needsProtocol({ protocol, matches }: Rule): boolean {
  return matches.some(({ match }) => match === "protocol" || (match === "dport" && protocol === "SCTP"));
}

const protocols = {
  TCP: compat(PROTOCOL_NUMBERS.TCP),
  UDP: compat(PROTOCOL_NUMBERS.UDP),
  SCTP: compat(PROTOCOL_NUMBERS.SCTP),
} as const;

/** The kernel does not list it. */
function compat(protocol: number) {
  return template(0, (message) =>
    message.nest(nft.NFTA_RULE_COMPAT, () => {
      message.attrU32be(nft.NFTA_RULE_COMPAT_PROTO, protocol);
      message.attrU32be(nft.NFTA_RULE_COMPAT_FLAGS, 0);
    }));
}
