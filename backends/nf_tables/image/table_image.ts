import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { type Attribute, attribute, messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { TimeSlice } from "../../../ffi/time_slice.ts";
import * as nft from "../constants.ts";
import { dumpRequest } from "../dump.ts";
import { sameRule } from "./same_rule.ts";
import { ElementsDigest } from "./elements_digest.ts";
import type { TableFamily } from "../families.ts";
import type { TableSchema } from "../schema.ts";

/** A rule as netlink attributes. */
export interface RuleImage {
  /** The value of NFTA_RULE_EXPRESSIONS. */
  readonly expressions: Uint8Array;
  readonly userdata: string;
}

/** The contents of one table, for a comparison. Elements are kept as a digest, because there can be 100,000s. */
export interface TableImage {
  /** Rules by chain, in order. */
  readonly chains: ReadonlyMap<string, readonly RuleImage[]>;
  /** Elements by set. Anonymous sets of a batch have their id as name: see `anonymousName`. */
  readonly sets: ReadonlyMap<string, ElementsDigest>;
}

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
export async function imageOfBatch(batch: Uint8Array, { nfproto }: TableFamily): Promise<TableImage> {
  const chains = new Map<string, RuleImage[]>();
  const sets = new Map<string, ElementsDigest>();
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
        if (!isDynamic(flags)) sets.set(name, new ElementsDigest());
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
export async function readImage(
  client: NetlinkClient,
  family: TableFamily,
  table: string,
  schema: TableSchema,
): Promise<TableImage | undefined> {
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
  const sets = new Map<string, ElementsDigest>();
  for (const [name, { flags }] of schema.sets) {
    if (isDynamic(flags)) continue;
    const digest = new ElementsDigest();
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
        if (list !== undefined) digest.addList(list);
      },
    );
    if (elements.interrupted) return undefined;
    sets.set(name, digest);
  }
  return { chains, sets };
}

/** Describes the chains and sets in which the kernel's table differs. */
export function compareImages(expected: TableImage, actual: TableImage): readonly string[] {
  const differences: string[] = [];
  const sameMap = (id: number, name: string) =>
    expected.sets.get(anonymousName(id))?.equals(actual.sets.get(name)) === true;
  for (const [chain, rules] of expected.chains) {
    const found = actual.chains.get(chain);
    const same = found?.length === rules.length &&
      rules.every((rule, index) => sameRule(rule, found[index], sameMap));
    if (!same) differences.push(found === undefined ? `chain ${chain}` : `rules of chain ${chain}`);
  }
  for (const [set, elements] of expected.sets) {
    // Anonymous sets are compared with the rules that use them.
    if (set.startsWith(ANONYMOUS)) continue;
    const found = actual.sets.get(set);
    if (!elements.equals(found)) {
      differences.push(found === undefined ? `set ${set}` : `elements of set ${set}`);
    }
  }
  for (const chain of actual.chains.keys()) {
    if (!expected.chains.has(chain)) differences.push(`chain ${chain}`);
  }
  return differences;
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
