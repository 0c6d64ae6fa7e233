import assert from "node:assert/strict";
import { jumpTargetOf } from "../../../backends/iptables/wire/decode.ts";
import { expressionsIdentity } from "../../../backends/iptables/wire/identity.ts";
import { writeExpressions } from "../../../backends/iptables/wire/encode.ts";
import type { IptablesRule } from "../../../backends/iptables/rules/rule.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { type Attribute, attributes } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { everyRule } from "./support/every_rule.ts";

const rules = FAMILIES.flatMap((family) =>
  everyRule(family).map((rule) => ({ rule, bytes: encoded(rule, family) }))
);

function encoded(rule: IptablesRule, family: "IPv4" | "IPv6"): Uint8Array {
  const message = new MessageWriter();
  writeExpressions(message, tableFamilyOf(family), rule);
  return message.bytes().slice();
}

/** Copies expressions, with the attributes in their NFTA_EXPR_DATA written by `change`. */
function rewritten(
  expressions: Uint8Array,
  change: (name: string, data: readonly Attribute[], message: MessageWriter) => void,
): Uint8Array {
  const message = new MessageWriter(1024, { nestedFlag: false });
  for (const element of attributes(expressions)) {
    message.nest(1, () => {
      const name = element.attribute(1)?.string() ?? "";
      message.attrString(1, name);
      message.nest(2, () => change(name, [...element.attribute(2)?.attributes() ?? []], message));
    });
  }
  return message.bytes();
}

Deno.test("different rules have different identities", () => {
  const texts = new Set(rules.map(({ bytes }) => bytes.toHex()));
  assert.equal(new Set(rules.map(({ bytes }) => expressionsIdentity(bytes))).size, texts.size);
});

Deno.test("counters do not change the identity", () => {
  for (const { bytes } of rules) {
    const counted = rewritten(bytes, (name, data, message) => {
      for (const { type, bytes } of data) {
        if (name === "counter") message.attrU64be(type, 123_456_789n);
        else message.attrBytes(type, bytes);
      }
    });
    assert.notDeepEqual(counted, bytes);
    assert.equal(expressionsIdentity(counted), expressionsIdentity(bytes));
  }
});

Deno.test("attributes that only newer kernels list do not change the identity", () => {
  for (const { bytes } of rules) {
    const newer = rewritten(bytes, (_, data, message) => {
      for (const { type, bytes } of data) message.attrBytes(type, bytes);
      message.attrU32be(40, 1);
    });
    assert.equal(expressionsIdentity(newer), expressionsIdentity(bytes));
    const older = rewritten(bytes, (name, data, message) => {
      for (const { type, bytes } of data) {
        if (name !== "bitwise" || type !== 6) message.attrBytes(type, bytes);
      }
    });
    assert.equal(expressionsIdentity(older), expressionsIdentity(bytes));
  }
});

Deno.test("storing a register and loading it are different", () => {
  const [rule] = rules.filter(({ rule }) => rule.matches.some(({ match }) => match === "mark"));
  assert.ok(rule);
  const storing = rewritten(rule.bytes, (name, data, message) => {
    const storesIn = (type: number) => name === "meta" && type === 1 ? 3 : type; // NFTA_META_DREG, NFTA_META_SREG
    for (const { type, bytes } of data) message.attrBytes(storesIn(type), bytes);
  });
  assert.notEqual(expressionsIdentity(storing), expressionsIdentity(rule.bytes));
});

Deno.test("the target of a jump is decoded, and only of a jump", () => {
  for (const { rule, bytes } of rules) {
    const chain = rule.target?.target === "jump" ? rule.target.chain : undefined;
    assert.equal(jumpTargetOf(bytes), chain);
  }
});

Deno.test("truncated expressions are an error", () => {
  for (const { bytes } of rules) {
    for (const length of [bytes.length - 4, bytes.length - 1, 2]) {
      assert.throws(() => expressionsIdentity(bytes.subarray(0, length)), RangeError);
    }
  }
  assert.equal(expressionsIdentity(new Uint8Array()), "");
});
