import assert from "node:assert/strict";
import { writeExpressions, writeRule } from "../../../backends/iptables/wire/encode.ts";
import type { IptablesRule } from "../../../backends/iptables/rules/rule.ts";
import { ruleText } from "./support/rule_text.ts";
import { NFTA_RULE_COMPAT } from "../../../backends/nf_tables/constants.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { everyRule } from "./support/every_rule.ts";
import goldens from "./goldens.json" with { type: "json" };

function expressionsOf(rule: IptablesRule, family: Family = "IPv4"): string {
  const message = new MessageWriter();
  // Leftover bytes in the buffer must not appear in the result.
  message.rawBytes(new Uint8Array(2048).fill(0xff));
  message.reset();
  writeExpressions(message, tableFamilyOf(family), rule);
  return message.bytes().toHex();
}

for (const family of FAMILIES) {
  Deno.test(`every ${family} rule has the bytes that the kernel lists for it when iptables-nft added it`, () => {
    const ofFamily = new Map(Object.entries(goldens[family]));
    for (const rule of everyRule(family)) {
      const text = ruleText(rule, family);
      assert.equal(expressionsOf(rule, family), ofFamily.get(text), text);
      ofFamily.delete(text);
    }
    assert.deepEqual([...ofFamily.keys()], [], "goldens without a rule");
  });
}

Deno.test("the protocol is added in NFTA_RULE_COMPAT where the x_tables matches of ports need it", () => {
  const protocolOf = (rule: IptablesRule): number | undefined => {
    const message = new MessageWriter();
    writeRule(message, tableFamilyOf("IPv4"), rule);
    return attribute(message.bytes(), NFTA_RULE_COMPAT)?.attribute(1)?.u32be();
  };
  const protocolMatch = { match: "protocol" } as const;
  const port = { match: "dport", port: 53 } as const;
  assert.equal(protocolOf({ protocol: "TCP", matches: [protocolMatch] }), 6);
  assert.equal(protocolOf({ protocol: "UDP", matches: [protocolMatch] }), 17);
  assert.equal(protocolOf({ protocol: "SCTP", matches: [port] }), 132);
  assert.equal(protocolOf({ protocol: "TCP", matches: [port] }), undefined);
  assert.equal(protocolOf({ matches: [] }), undefined);
});

Deno.test("names and comments that are too long are an error before the kernel sees them", () => {
  const fails = (rule: IptablesRule, error: RegExp) => assert.throws(() => expressionsOf(rule), error);
  fails({ matches: [{ match: "comment", text: "x".repeat(256) }] }, /256 characters, but at most 255/);
  fails({ matches: [{ match: "nfacct", name: "x".repeat(32) }] }, /32 characters, but at most 31/);
  fails({ matches: [{ match: "recent-set", name: "x".repeat(200) }] }, /200 characters, but at most 199/);
  fails({ matches: [], inInterface: { name: "x".repeat(16), inverted: false } }, /not an interface name/);
  fails({ matches: [], inInterface: { name: "+", inverted: false } }, /not an interface name/);
  fails({ matches: [{ match: "dport", port: 80 }] }, /needs a protocol/);
});
