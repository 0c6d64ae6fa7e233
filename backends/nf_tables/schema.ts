import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import { attribute, attributes, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import * as nft from "./constants.ts";
import { dumpRequest } from "./dump.ts";
import { TABLE_FAMILIES, type TableFamily } from "./families.ts";
import type { Hook } from "./rules.ts";
import { datatypeOf, flagsOf, lengthOf, type SetSpec } from "./set/spec.ts";

/** The chains and sets of a table in the kernel, without rules and elements. */
export interface TableSchema {
  readonly flags: number;
  readonly userdata: string;
  readonly chains: ReadonlyMap<string, ChainSchema>;
  readonly sets: ReadonlyMap<string, SetSchema>;
  /** Names of named counters. */
  readonly counters: ReadonlySet<string>;
  /** The table has objects of other kinds: quotas, flow tables. */
  readonly hasOthers: boolean;
}

export interface ChainSchema {
  /** Undefined for chains that are entered from other chains only. */
  readonly hook?: Hook;
  /** False if the policy drops packets. */
  readonly accepts: boolean;
}

export interface SetSchema {
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  /** NFT_DATA_VERDICT for verdict maps. */
  readonly dataType: number;
  readonly timeoutMs: number;
}

/** Reads the tables with this name. @returns their schemas by nfproto. */
export async function readSchemas(
  client: NetlinkClient,
  name: string,
): Promise<ReadonlyMap<number, TableSchema>> {
  const schemas = new Map<number, TableSchema>();
  for (const family of TABLE_FAMILIES) {
    const table = await readTable(client, family, name);
    if (table === undefined) continue;
    const chains = await readChains(client, family, name);
    const sets = await readSets(client, family, name);
    const counters = await readCounters(client, family, name);
    // `uses` counts the chains, sets and other objects of the table.
    const { flags, userdata, uses } = table;
    const hasOthers = uses > chains.size + sets.size + counters.size;
    schemas.set(family.nfproto, {
      flags,
      userdata,
      chains,
      sets,
      counters: new Set(counters.keys()),
      hasOthers,
    });
  }
  return schemas;
}

/** Reports whether a dynamic set in the kernel matches `spec`. */
export function matchesSpec(spec: SetSpec, schema: SetSchema): boolean {
  return schema.flags === flagsOf(spec) &&
    schema.keyType === datatypeOf(spec.key) &&
    schema.keyLength === lengthOf(spec.key) &&
    schema.timeoutMs === (spec.timeoutSeconds ?? 0) * 1000;
}

export function sameHook(a: Hook | undefined, b: Hook | undefined): boolean {
  return a?.type === b?.type && a?.number === b?.number && a?.priority === b?.priority;
}

interface TableFacts {
  readonly flags: number;
  readonly userdata: string;
  readonly uses: number;
}

async function readTable(
  client: NetlinkClient,
  family: TableFamily,
  tableName: string,
): Promise<TableFacts | undefined> {
  let table: TableFacts | undefined;
  const operation = `list tables of family ${family.keyword}`;
  await dumpEach(client, family, nft.NFT_MSG_GETTABLE, operation, () => {}, ({ payload }) => {
    if (attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string() !== tableName) return;
    table = {
      flags: attribute(payload, nft.NFTA_TABLE_FLAGS, NFGENMSG_BYTES)?.u32be() ?? 0,
      userdata: attribute(payload, nft.NFTA_TABLE_USERDATA, NFGENMSG_BYTES)?.latin1() ?? "",
      uses: attribute(payload, nft.NFTA_TABLE_USE, NFGENMSG_BYTES)?.u32be() ?? 0,
    };
  });
  return table;
}

async function readChains(
  client: NetlinkClient,
  family: TableFamily,
  tableName: string,
): Promise<Map<string, ChainSchema>> {
  const chains = new Map<string, ChainSchema>();
  const operation = `list chains of table ${family.keyword} ${tableName}`;
  const filter = (message: MessageWriter) => message.attrString(nft.NFTA_CHAIN_TABLE, tableName);
  await dumpEach(client, family, nft.NFT_MSG_GETCHAIN, operation, filter, ({ payload }) => {
    if (attribute(payload, nft.NFTA_CHAIN_TABLE, NFGENMSG_BYTES)?.string() !== tableName) return;
    const name = attribute(payload, nft.NFTA_CHAIN_NAME, NFGENMSG_BYTES)?.string();
    if (name !== undefined) chains.set(name, chainSchema(payload));
  });
  return chains;
}

function chainSchema(payload: Uint8Array): ChainSchema {
  const hook = attribute(payload, nft.NFTA_CHAIN_HOOK, NFGENMSG_BYTES);
  if (hook === undefined) return { accepts: true };
  const type = attribute(payload, nft.NFTA_CHAIN_TYPE, NFGENMSG_BYTES)?.string();
  const number = hook.attribute(nft.NFTA_HOOK_HOOKNUM)?.u32be() ?? -1;
  const priority = (hook.attribute(nft.NFTA_HOOK_PRIORITY)?.u32be() ?? 0) | 0;
  const policy = attribute(payload, nft.NFTA_CHAIN_POLICY, NFGENMSG_BYTES)?.u32be();
  return {
    accepts: policy === nft.NF_ACCEPT,
    // We have no chains of type "route": number -1 matches no hook.
    hook: { type: type === "nat" ? "nat" : "filter", number: type === "route" ? -1 : number, priority },
  };
}

async function readSets(
  client: NetlinkClient,
  family: TableFamily,
  tableName: string,
): Promise<Map<string, SetSchema>> {
  const sets = new Map<string, SetSchema>();
  const operation = `list sets of table ${family.keyword} ${tableName}`;
  const filter = (message: MessageWriter) => message.attrString(nft.NFTA_SET_TABLE, tableName);
  await dumpEach(client, family, nft.NFT_MSG_GETSET, operation, filter, ({ payload }) => {
    let name: string | undefined;
    let table: string | undefined;
    let [flags, keyType, keyLength, dataType, timeoutMs] = [0, 0, 0, 0, 0];
    for (const field of attributes(payload, NFGENMSG_BYTES)) {
      if (field.type === nft.NFTA_SET_TABLE) table = field.string();
      else if (field.type === nft.NFTA_SET_NAME) name = field.string();
      else if (field.type === nft.NFTA_SET_FLAGS) flags = field.u32be();
      else if (field.type === nft.NFTA_SET_KEY_TYPE) keyType = field.u32be();
      else if (field.type === nft.NFTA_SET_KEY_LEN) keyLength = field.u32be();
      else if (field.type === nft.NFTA_SET_DATA_TYPE) dataType = field.u32be();
      else if (field.type === nft.NFTA_SET_TIMEOUT) timeoutMs = Number(field.u64be());
    }
    if (table !== tableName || name === undefined) return;
    sets.set(name, { flags, keyType, keyLength, dataType, timeoutMs });
  });
  return sets;
}

/** Reads the named counters of a table: packets by name. */
export async function readCounters(
  client: NetlinkClient,
  family: TableFamily,
  tableName: string,
): Promise<ReadonlyMap<string, number>> {
  const counters = new Map<string, number>();
  const operation = `list counters of table ${family.keyword} ${tableName}`;
  const filter = (message: MessageWriter) => {
    message.attrString(nft.NFTA_OBJ_TABLE, tableName);
    message.attrU32be(nft.NFTA_OBJ_TYPE, nft.NFT_OBJECT_COUNTER);
  };
  await dumpEach(client, family, nft.NFT_MSG_GETOBJ, operation, filter, ({ payload }) => {
    const field = (type: number) => attribute(payload, type, NFGENMSG_BYTES);
    if (field(nft.NFTA_OBJ_TABLE)?.string() !== tableName) return;
    if (field(nft.NFTA_OBJ_TYPE)?.u32be() !== nft.NFT_OBJECT_COUNTER) return;
    const packets = field(nft.NFTA_OBJ_DATA)?.attribute(nft.NFTA_COUNTER_PACKETS)?.u64be() ?? 0n;
    counters.set(field(nft.NFTA_OBJ_NAME)?.string() ?? "", Number(packets));
  });
  return counters;
}

async function dumpEach(
  client: NetlinkClient,
  family: TableFamily,
  type: number,
  operation: string,
  filter: (message: MessageWriter) => void,
  each: (message: NetlinkMessage) => void,
): Promise<void> {
  // An interrupted dump is not repeated: an object that it misses makes the refill fail, and then the table
  // is replaced.
  await client.dumpEach(operation, dumpRequest(family, type, filter), each);
}
