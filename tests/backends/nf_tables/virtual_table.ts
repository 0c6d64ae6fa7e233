import * as nft from "../../../backends/nf_tables/constants.ts";
import { CHOICE_MAP } from "../../../backends/nf_tables/expressions.ts";
import type { Hook } from "../../../backends/nf_tables/rules.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { type Attribute, attribute, messages } from "../../../ffi/netlink/reader.ts";

/**
 * Builds the chains and sets of a table from batches, as the kernel does. As strict as the kernel: a
 * referenced object must exist, an added element must not, and nothing may refer to a deleted chain or set.
 */
export class VirtualTable {
  readonly chains = new Map<string, VirtualChain>();
  readonly sets = new Map<string, VirtualSet>();

  constructor(...batches: readonly Uint8Array[]) {
    for (const batch of batches) this.apply(batch);
  }

  apply(batch: Uint8Array): void {
    // Anonymous maps have no name yet.
    const anonymous = new Map<number, VirtualSet>();
    for (const { type, payload } of messages(batch)) {
      if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
      this.#apply(type & 0xff, (kind) => attribute(payload, kind, NFGENMSG_BYTES), anonymous);
    }
  }

  #apply(type: number, field: Fields, anonymous: Map<number, VirtualSet>): void {
    switch (type) {
      case nft.NFT_MSG_NEWTABLE:
      case nft.NFT_MSG_NEWOBJ:
        return;
      case nft.NFT_MSG_DELTABLE:
        this.chains.clear();
        this.sets.clear();
        return;
      case nft.NFT_MSG_NEWCHAIN:
        return this.#addChain(field);
      case nft.NFT_MSG_DELCHAIN:
        return this.#deleteChain(must(field(nft.NFTA_CHAIN_NAME)).string());
      case nft.NFT_MSG_NEWRULE: {
        const chain = this.#chain(must(field(nft.NFTA_RULE_CHAIN)).string());
        const expressions = expressionsOf(must(field(nft.NFTA_RULE_EXPRESSIONS)), anonymous);
        for (const { chains, set } of expressions.map(referencesOf)) {
          for (const name of chains) this.#chain(name);
          if (set !== undefined) must(this.sets.get(set), `set ${set}`);
        }
        chain.rules.push(expressions);
        return;
      }
      case nft.NFT_MSG_DELRULE:
        this.#chain(must(field(nft.NFTA_RULE_CHAIN)).string()).rules.length = 0;
        return;
      case nft.NFT_MSG_NEWSET:
        return this.#addSet(field, anonymous);
      case nft.NFT_MSG_DELSET:
        return this.#deleteSet(must(field(nft.NFTA_SET_NAME)).string());
      case nft.NFT_MSG_NEWSETELEM:
      case nft.NFT_MSG_DELSETELEM:
        return this.#changeElements(type === nft.NFT_MSG_NEWSETELEM, field, anonymous);
      default:
        throw new Error(`unknown message type ${type}`);
    }
  }

  #addChain(field: Fields): void {
    const name = must(field(nft.NFTA_CHAIN_NAME)).string();
    if (this.chains.has(name)) return;
    const hook = field(nft.NFTA_CHAIN_HOOK);
    this.chains.set(name, {
      rules: [],
      hook: hook && {
        type: field(nft.NFTA_CHAIN_TYPE)?.string() === "nat" ? "nat" : "filter",
        number: must(hook.attribute(nft.NFTA_HOOK_HOOKNUM)).u32be(),
        priority: must(hook.attribute(nft.NFTA_HOOK_PRIORITY)).u32be() | 0,
      },
    });
  }

  #deleteChain(name: string): void {
    // The rules of the chain go with it, and so do their references.
    must(this.chains.delete(name) || undefined, `chain ${name}`);
    const isUsed = this.#references().some(({ chains }) => chains.includes(name)) ||
      [...this.sets.values()].some(({ elements }) =>
        [...elements.values()].some(({ chain }) => chain === name)
      );
    if (isUsed) throw new Error(`EBUSY: chain ${name}`);
  }

  #deleteSet(name: string): void {
    must(this.sets.delete(name) || undefined, `set ${name}`);
    if (this.#references().some(({ set }) => set === name)) throw new Error(`EBUSY: set ${name}`);
  }

  #references(): References[] {
    return [...this.chains.values()].flatMap(({ rules }) => rules.flat().map(referencesOf));
  }

  #addSet(field: Fields, anonymous: Map<number, VirtualSet>): void {
    const name = must(field(nft.NFTA_SET_NAME)).string();
    const concatenation = field(nft.NFTA_SET_DESC)?.attribute(nft.NFTA_SET_DESC_CONCAT);
    const flags = must(field(nft.NFTA_SET_FLAGS)).u32be();
    const set: VirtualSet = {
      timeout: field(nft.NFTA_SET_TIMEOUT)?.u64be() ?? 0n,
      keyLength: must(field(nft.NFTA_SET_KEY_LEN)).u32be(),
      ranges: (flags & nft.NFT_SET_INTERVAL) === 0 ? undefined : [...must(concatenation).attributes()]
        .map((length) => must(length.attribute(nft.NFTA_SET_FIELD_LEN)).u32be() + 3 & ~3),
      elements: new Map(),
    };
    if (name === CHOICE_MAP) anonymous.set(must(field(nft.NFTA_SET_ID)).u32be(), set);
    else if (!this.sets.has(name)) this.sets.set(name, set);
  }

  #changeElements(adds: boolean, field: Fields, anonymous: ReadonlyMap<number, VirtualSet>): void {
    const name = must(field(nft.NFTA_SET_ELEM_LIST_SET)).string();
    const set = name === CHOICE_MAP
      ? must(anonymous.get(must(field(nft.NFTA_SET_ELEM_LIST_SET_ID)).u32be()))
      : must(this.sets.get(name));
    for (const element of must(field(nft.NFTA_SET_ELEM_LIST_ELEMENTS)).attributes()) {
      const key = value(element.attribute(nft.NFTA_SET_ELEM_KEY));
      if (key.length !== set.keyLength) throw new Error(`EINVAL: a key of ${name}`);
      if (adds === set.elements.has(key)) {
        throw new Error(`${adds ? "EEXIST" : "ENOENT"}: element of ${name}`);
      }
      if (!adds) set.elements.delete(key);
      else set.elements.set(key, this.#element(element));
    }
  }

  #element(element: Attribute): VirtualElement {
    const data = element.attribute(nft.NFTA_SET_ELEM_DATA);
    const verdict = data?.attribute(nft.NFTA_DATA_VERDICT);
    const chain = verdict?.attribute(nft.NFTA_VERDICT_CHAIN)?.string();
    if (chain !== undefined) this.#chain(chain);
    return {
      verdict: verdict === undefined ? undefined : must(verdict.attribute(nft.NFTA_VERDICT_CODE)).u32be() | 0,
      chain,
      data: data === undefined || verdict !== undefined ? "" : value(data),
      end: element.attribute(nft.NFTA_SET_ELEM_KEY_END) === undefined
        ? ""
        : value(element.attribute(nft.NFTA_SET_ELEM_KEY_END)),
      userdata: element.attribute(nft.NFTA_SET_ELEM_USERDATA)?.latin1() ?? "",
    };
  }

  #chain(name: string): VirtualChain {
    return must(this.chains.get(name), `chain ${name}`);
  }
}

export interface VirtualChain {
  readonly hook: Hook | undefined;
  readonly rules: (readonly VirtualExpression[])[];
}

export interface VirtualSet {
  /** In milliseconds; 0 for none. */
  readonly timeout: bigint;
  /** In bytes. */
  readonly keyLength: number;
  /** Lengths of the key's fields, for interval sets only. */
  readonly ranges: readonly number[] | undefined;
  readonly elements: Map<string, VirtualElement>;
}

export interface VirtualElement {
  /** NF_DROP, NFT_GOTO, …; undefined if the element has no verdict. */
  readonly verdict: number | undefined;
  readonly chain: string | undefined;
  readonly data: string;
  /** The last key, for ranges only. */
  readonly end: string;
  /** The comment, encoded; "" for none. */
  readonly userdata: string;
}

export interface VirtualExpression {
  readonly name: string;
  readonly fields: ReadonlyMap<number, Attribute>;
  /** The anonymous map of a lookup. */
  readonly choice: VirtualSet | undefined;
}

type Fields = (type: number) => Attribute | undefined;

function expressionsOf(list: Attribute, anonymous: ReadonlyMap<number, VirtualSet>): VirtualExpression[] {
  return [...list.attributes()].map((expression) => {
    const data = [...expression.attribute(nft.NFTA_EXPR_DATA)?.attributes() ?? []];
    const fields = new Map(data.map((field) => [field.type, field]));
    const name = must(expression.attribute(nft.NFTA_EXPR_NAME)).string();
    const id = name === "lookup" ? fields.get(nft.NFTA_LOOKUP_SET_ID)?.u32be() : undefined;
    return { name, fields, choice: id === undefined ? undefined : must(anonymous.get(id)) };
  });
}

/** Objects that an expression refers to by name. */
interface References {
  readonly chains: readonly string[];
  readonly set: string | undefined;
}

function referencesOf({ name, fields, choice }: VirtualExpression): References {
  const chains = [...choice?.elements.values() ?? []].map(({ chain }) => chain);
  if (name === "immediate") {
    const verdict = fields.get(nft.NFTA_IMMEDIATE_DATA)?.attribute(nft.NFTA_DATA_VERDICT);
    chains.push(verdict?.attribute(nft.NFTA_VERDICT_CHAIN)?.string());
  }
  const set = name === "lookup" && choice === undefined
    ? fields.get(nft.NFTA_LOOKUP_SET)
    : name === "dynset"
    ? fields.get(nft.NFTA_DYNSET_SET_NAME)
    : undefined;
  return { chains: chains.filter((chain) => chain !== undefined), set: set?.string() };
}

/** The binary string in an attribute of type struct nft_data. */
export function value(data: Attribute | undefined): string {
  return must(must(data).attribute(nft.NFTA_DATA_VALUE)).latin1();
}

export function must<T>(found: T | undefined, what = "a referenced object"): T {
  if (found === undefined) throw new Error(`ENOENT: ${what}`);
  return found;
}
