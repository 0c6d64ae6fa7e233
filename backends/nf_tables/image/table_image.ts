import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { type Attribute, attribute, messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { TimeSlice } from "../../../ffi/time_slice.ts";
import * as nft from "../constants.ts";
import { dumpRequest } from "../dump.ts";
import { sameRule } from "./same_rule.ts";
import type { TableFamily } from "../families.ts";
import type { TableSchema } from "../schema.ts";

/** A rule as netlink attributes. */
export interface RuleImage {
  /** The value of NFTA_RULE_EXPRESSIONS. */
  readonly expressions: Uint8Array;
  readonly userdata: string;
}

/** The elements of one set, in any order. */
export interface ElementsOfSet<Self> {
  /** @param list NFTA_SET_ELEM_LIST_ELEMENTS */
  addList(list: Attribute): void;
  equals(other: Self | undefined): boolean;
}

/** The contents of one table, for a comparison. */
export interface TableImage<Elements extends ElementsOfSet<Elements>> {
  /** Rules by chain, in order. */
  readonly chains: ReadonlyMap<string, readonly RuleImage[]>;
  /** Elements by set. Anonymous sets of a batch have their id as name: see `anonymousName`. */
  readonly sets: ReadonlyMap<string, Elements>;
}

/** Makes the elements of a set that has none. */
export type NewElements<Elements> = new () => Elements;

/** Reports whether rules fill the set. Its elements are not part of an image. */
function isDynamic(flags: number): boolean {
  return (flags & nft.NFT_SET_EVAL) !== 0;
}

/** Marks the names of anonymous sets. No set has such a name in the kernel. */
const ANONYMOUS = "#";

/** Name of an anonymous set within a batch. */
function anonymousName(id: number): string {
  return `${ANONYMOUS}${id}`;
}

/** Derives what a table contains after a batch that creates it. Other work runs meanwhile. */
export async function imageOfBatch<Elements extends ElementsOfSet<Elements>>(
  batch: Uint8Array,
  { nfproto }: TableFamily,
  Elements: NewElements<Elements>,
): Promise<TableImage<Elements>> {
  const chains = new Map<string, RuleImage[]>();
  const sets = new Map<string, Elements>();
  const slice = new TimeSlice();
  for (const { type, payload } of messages(batch)) {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || payload[0] !== nfproto) continue;
    const field = (of: number) => attribute(payload, of, NFGENMSG_BYTES);
    switch (type & 0xff) {
      case nft.NFT_MSG_NEWCHAIN:
        chains.set(field(nft.NFTA_CHAIN_NAME)?.string() ?? "", []);
        break;
      case nft.NFT_MSG_NEWRULE:
        chains.get(field(nft.NFTA_RULE_CHAIN)?.string() ?? "")?.push(ruleOf(payload));
        break;
      case nft.NFT_MSG_NEWSET: {
        const flags = field(nft.NFTA_SET_FLAGS)?.u32be() ?? 0;
        const name = (flags & nft.NFT_SET_ANONYMOUS) === 0
          ? field(nft.NFTA_SET_NAME)?.string() ?? ""
          : anonymousName(field(nft.NFTA_SET_ID)?.u32be() ?? 0);
        if (!isDynamic(flags)) sets.set(name, new Elements());
        break;
      }
      case nft.NFT_MSG_NEWSETELEM: {
        const id = field(nft.NFTA_SET_ELEM_LIST_SET_ID)?.u32be();
        const name = id === undefined ? field(nft.NFTA_SET_ELEM_LIST_SET)?.string() ?? "" : anonymousName(id);
        const list = field(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
        if (list !== undefined) sets.get(name)?.addList(list);
        break;
      }
    }
    if (slice.isOver) await slice.next();
  }
  return { chains, sets };
}

/** Reads what a table contains. Other work runs meanwhile. @returns undefined if it changes all the time. */
export async function readImage<Elements extends ElementsOfSet<Elements>>(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
  schema: TableSchema,
  Elements: NewElements<Elements>,
): Promise<TableImage<Elements> | undefined> {
  const chains = new Map<string, RuleImage[]>();
  for (const name of schema.chains.keys()) chains.set(name, []);
  const rules = await dump(
    client,
    family,
    nft.NFT_MSG_GETRULE,
    `list rules of table ${family.keyword} ${table}`,
    (message) => message.attrString(nft.NFTA_RULE_TABLE, table),
    ({ payload }) => {
      const field = (of: number) => attribute(payload, of, NFGENMSG_BYTES)?.string() ?? "";
      if (field(nft.NFTA_RULE_TABLE) === table) chains.get(field(nft.NFTA_RULE_CHAIN))?.push(ruleOf(payload));
    },
  );
  if (rules.interrupted) return undefined;
  const sets = new Map<string, Elements>();
  for (const [name, { flags }] of schema.sets) {
    if (isDynamic(flags)) continue;
    const elementsOfSet = new Elements();
    const elements = await dump(
      client,
      family,
      nft.NFT_MSG_GETSETELEM,
      `list elements of set ${family.keyword} ${table} ${name}`,
      (message) => {
        message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, table);
        message.attrString(nft.NFTA_SET_ELEM_LIST_SET, name);
      },
      ({ payload }) => {
        const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
        if (list !== undefined) elementsOfSet.addList(list);
      },
    );
    if (elements.interrupted) return undefined;
    sets.set(name, elementsOfSet);
  }
  return { chains, sets };
}

export interface Difference {
  readonly of: "chain" | "set";
  readonly name: string;
  /** Missing in the kernel, only in the kernel, or with other rules or elements. */
  readonly how: "missing" | "extra" | "different";
}

/** Finds the chains and sets in which the kernel's table differs. */
export function* findDifferences<Elements extends ElementsOfSet<Elements>>(
  expected: TableImage<Elements>,
  actual: TableImage<Elements>,
): Generator<Difference> {
  const sameMap = (id: number, name: string) =>
    expected.sets.get(anonymousName(id))?.equals(actual.sets.get(name)) === true;
  for (const [name, rules] of expected.chains) {
    const found = actual.chains.get(name);
    const same = found?.length === rules.length &&
      rules.every((rule, index) => sameRule(rule, found[index], sameMap));
    if (!same) yield { of: "chain", name, how: found === undefined ? "missing" : "different" };
  }
  for (const [name, elements] of expected.sets) {
    // Anonymous sets are compared with the rules that use them.
    if (name.startsWith(ANONYMOUS)) continue;
    const found = actual.sets.get(name);
    if (!elements.equals(found)) {
      yield { of: "set", name, how: found === undefined ? "missing" : "different" };
    }
  }
  for (const name of actual.chains.keys()) {
    if (!expected.chains.has(name)) yield { of: "chain", name, how: "extra" };
  }
  for (const name of actual.sets.keys()) {
    if (!expected.sets.has(name) && !isAnonymousInKernel(name)) yield { of: "set", name, how: "extra" };
  }
}

/** The kernel names anonymous sets `__set0` and `__map0`. */
function isAnonymousInKernel(name: string): boolean {
  return /^__(set|map)\d+$/.test(name);
}

/** Describes a difference for the log. */
export function describeDifference({ of, name, how }: Difference): string {
  return how !== "different"
    ? `${of} ${name}`
    : of === "chain"
    ? `rules of chain ${name}`
    : `elements of set ${name}`;
}

function ruleOf(payload: Uint8Array): RuleImage {
  const field = (of: number): Attribute | undefined => attribute(payload, of, NFGENMSG_BYTES);
  return {
    expressions: field(nft.NFTA_RULE_EXPRESSIONS)?.bytes ?? new Uint8Array(),
    userdata: field(nft.NFTA_RULE_USERDATA)?.latin1() ?? "",
  };
}

function dump(
  client: NetlinkClient,
  family: TableFamily,
  type: number,
  operation: string,
  filter: (message: MessageWriter) => void,
  each: (message: NetlinkMessage) => void,
): Promise<{ readonly interrupted: boolean }> {
  return client.dumpEach(operation, dumpRequest(family, type, filter), each, { inBackground: true });
}
