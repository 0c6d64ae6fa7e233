import assert from "node:assert/strict";
import { RuleBatch } from "../../../backends/iptables/sync/batch.ts";
import { type ActualRule, TablesReader } from "../../../backends/iptables/sync/read.ts";
import { writeSharedChange } from "../../../backends/iptables/sync/shared_change.ts";
import { NAT_SERVICES } from "../../../backends/iptables/rules/names.ts";
import type { IptablesRule } from "../../../backends/iptables/rules/rule.ts";
import { writeExpressions } from "../../../backends/iptables/wire/encode.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { compare, meta } from "../../../backends/nf_tables/expressions.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { planKey } from "../../../core/plan/plan.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import {
  NETLINK_NETFILTER,
  NLM_F_APPEND,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
} from "../../../ffi/netlink/constants.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute, messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { nftType } from "../nf_tables/fake_kernel.ts";

const family = tableFamilyOf("IPv4");
const owner = planKey({ namespace: "default", name: "web", portName: "", protocol: "TCP", family: "IPv4" });
const jumpTo = (chain: string): IptablesRule => ({ matches: [], target: { target: "jump", chain } });

Deno.test("a change that deletes few rules of a shared chain deletes them by their handles", () => {
  for (const [length, deletions] of [[10, 10], [1900, 1900], [20_000, 10], [100_000, 100]] as const) {
    const kinds = Object.groupBy(written(listed(length), deletions), describe);
    assert.deepEqual(
      Object.keys(kinds).sort(),
      ["delete a rule", "insert a rule"],
      `${deletions} of ${length}`,
    );
    assert.equal(kinds["delete a rule"]?.length, deletions);
  }
});

Deno.test("a change that deletes thousands of rules of a shared chain flushes it and deletes no rule by its handle", () => {
  for (const [length, deletions] of [[3000, 2900], [20_000, 4000], [80_000, 80_000]] as const) {
    const [first, ...others] = written(listed(length), deletions).map(describe);
    assert.equal(first, "flush", "before anything is added");
    assert.deepEqual(new Set(others), new Set(["append a rule"]), `${deletions} of ${length}`);
    assert.equal(others.length, 2 + length - deletions);
  }
});

Deno.test("a rewritten chain has the new rules first, and the others as they were listed", () => {
  const actual = listed(3000);
  const [, first, second, ...others] = written(actual, 2900);
  assert.deepEqual(
    [first, second].map((message) => message && contents(message).expressions),
    ["NEW-1", "NEW-2"].map((chain) => expressionsOf(jumpTo(chain)).toHex()),
  );
  assert.deepEqual(
    others.map(contents),
    actual.slice(2900).map(({ expressions, userdata }) => ({
      expressions: expressions.toHex(),
      userdata: userdata?.toHex(),
    })),
  );
});

Deno.test("a kernel that rejected a listed rule gets single changes, and only messages of listed rules count as such", () => {
  const actual = listed(3000);
  const batch = change(actual, 2900, (batch) => batch.mayRestore = false);
  assert.ok(!messagesOf(batch).map(describe).includes("flush"));
  const rewriting = change(actual, 2900);
  const restored = messagesOf(rewriting).filter(({ seq }) => rewriting.restores(seq));
  assert.equal(restored.length, 100);
  assert.deepEqual(new Set(restored.map(({ seq }) => rewriting.ownerOf(seq))), new Set([undefined]));
});

Deno.test("a chain is not written again from a listing during which nf_tables changed", () => {
  const batch = change(listed(3000), 2900, () => {}, false);
  assert.ok(!messagesOf(batch).map(describe).includes("flush"));
});

Deno.test("a listing is complete only if nf_tables did not change during the last attempt", async () => {
  for (const interruptions of [0, 1, 4, 5, 9]) {
    let dumps = 0;
    const kernel = new FakeTransport((sent) => {
      const message = new MessageWriter();
      const [request] = messages(sent);
      message.begin(NLMSG_DONE, dumps++ < interruptions ? NLM_F_DUMP_INTR : 0, request?.seq ?? 0);
      message.rawU32le(0);
      message.end();
      return [message.bytes()];
    });
    using client = NetlinkClient.open(NETLINK_NETFILTER, () => kernel);
    const { isComplete } = await new TablesReader(client, family).listing("nat", "KUBE-SERVICES");
    assert.equal(isComplete, interruptions < 5, `${interruptions} interruptions`);
  }
});

Deno.test("a listed rule that tests the protocol gets it in NFTA_RULE_COMPAT, because the kernel does not list it", () => {
  const rules = (["==", "!="] as const).flatMap((operator) =>
    [6, 132].map((protocol) => ({ operator, protocol }))
  );
  const batch = new RuleBatch(new MessageWriter(), 1);
  batch.restoreRules(family, "nat", "KUBE-SERVICES", [
    ...rules.map(({ operator, protocol }) => {
      const message = new MessageWriter(256, { nestedFlag: false });
      meta(nft.NFT_META_MARK).load(0)(message, 0);
      compare(operator, "\x01\0\0\0")(message, 0);
      meta(nft.NFT_META_L4PROTO).load(0)(message, 0);
      compare(operator, String.fromCharCode(protocol))(message, 0);
      return { handle: 1, expressions: message.bytes(), userdata: undefined };
    }),
    { handle: 2, expressions: expressionsOf(jumpTo("C")), userdata: undefined },
  ]);
  const compat = messagesOf(batch).map(({ payload }) => {
    const value = attribute(payload, nft.NFTA_RULE_COMPAT, NFGENMSG_BYTES);
    return value && {
      protocol: value.attribute(nft.NFTA_RULE_COMPAT_PROTO)?.u32be(),
      operator: value.attribute(nft.NFTA_RULE_COMPAT_FLAGS)?.u32be() === nft.NFT_RULE_COMPAT_F_INV
        ? "!="
        : "==",
    };
  });
  assert.deepEqual(compat, [...rules.map(({ operator, protocol }) => ({ protocol, operator })), undefined]);
});

/** Rules of a chain as the kernel lists them. Every third one has userdata. */
function listed(length: number): readonly ActualRule[] {
  return Array.from({ length }, (_, index) => ({
    handle: index + 1,
    expressions: expressionsOf(jumpTo(`C${index}`)),
    userdata: index % 3 === 0 ? new Uint8Array([0, 2, 65, 0]) : undefined,
  }));
}

/** The messages of a change that adds two rules and deletes the first `deletions` rules. */
function written(actual: readonly ActualRule[], deletions: number): readonly NetlinkMessage[] {
  return messagesOf(change(actual, deletions));
}

function change(
  actual: readonly ActualRule[],
  deletions: number,
  prepare: (batch: RuleBatch) => void = () => {},
  isComplete = true,
): RuleBatch {
  const batch = new RuleBatch(new MessageWriter(), 1);
  prepare(batch);
  writeSharedChange(batch, family, NAT_SERVICES, { rules: actual, isComplete }, {
    added: ["NEW-1", "NEW-2"].map((chain) => ({ rule: jumpTo(chain), owner })),
    deleted: new Map(actual.slice(0, deletions).map(({ handle }) => [handle, owner])),
  });
  return batch;
}

function messagesOf(batch: RuleBatch): readonly NetlinkMessage[] {
  return [...messages(batch.end())].slice(1, -1);
}

function describe({ type, flags, payload }: NetlinkMessage): string {
  if (type === nftType(nft.NFT_MSG_NEWRULE)) {
    return (flags & NLM_F_APPEND) === NLM_F_APPEND ? "append a rule" : "insert a rule";
  }
  const handle = attribute(payload, nft.NFTA_RULE_HANDLE, NFGENMSG_BYTES);
  return handle === undefined ? "flush" : "delete a rule";
}

function contents({ payload }: NetlinkMessage) {
  return {
    expressions: attribute(payload, nft.NFTA_RULE_EXPRESSIONS, NFGENMSG_BYTES)?.bytes.toHex(),
    userdata: attribute(payload, nft.NFTA_RULE_USERDATA, NFGENMSG_BYTES)?.bytes.toHex(),
  };
}

function expressionsOf(rule: IptablesRule): Uint8Array {
  const message = new MessageWriter(256);
  writeExpressions(message, family, rule);
  return message.bytes().slice();
}
