import {
  NLA_F_NESTED,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from "../../ffi/netlink/constants.ts";
import {
  nfgenmsg,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import * as nft from "./constants.ts";
import { CHOICE_MAP } from "./expressions.ts";
import type { TableFamily } from "./families.ts";
import type { Chain, Rule } from "./rules.ts";
import { writeElement } from "./set/element.ts";
import { u32le } from "./set/keys.ts";
import { datatypeOf, flagsOf, lengthOf, type SetSpec, userdataOf } from "./set/spec.ts";
import * as userdata from "./userdata.ts";

/**
 * Writes one nf_tables batch: changes in one datagram, which the kernel commits all or not at all. Order
 * matters: an object must exist before a change refers to it. Subclasses add the changes.
 */
export class Batch {
  protected readonly message: MessageWriter;
  readonly #firstSeq: number;
  #count = 0;

  constructor(message: MessageWriter, firstSeq: number) {
    this.message = message;
    this.#firstSeq = firstSeq;
    message.reset();
    this.#bound(NFNL_MSG_BATCH_BEGIN);
  }

  /** Number of messages so far, including the one that begins the batch. */
  get count(): number {
    return this.#count;
  }

  /** Length in bytes so far. */
  get bytes(): number {
    return this.message.length;
  }

  /** True if the batch has no changes. */
  get isEmpty(): boolean {
    return this.#count === 1;
  }

  /** Returns the complete batch. Nothing can be added afterwards. */
  end(): Uint8Array<ArrayBuffer> {
    this.#bound(NFNL_MSG_BATCH_END);
    return this.message.bytes();
  }

  protected write(
    nfproto: number,
    type: number,
    flags: number,
    body: (message: MessageWriter) => void,
  ): void {
    this.message.begin(
      NFNL_SUBSYS_NFTABLES << 8 | type,
      NLM_F_REQUEST | flags,
      this.#firstSeq + this.#count++,
    );
    nfgenmsg(this.message, nfproto, 0);
    body(this.message);
    this.message.end();
  }

  #bound(type: number): void {
    this.message.begin(type, NLM_F_REQUEST, this.#firstSeq + this.#count++);
    nfgenmsg(this.message, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    this.message.end();
  }
}

/** Name and comment of a table, in both families. The comment identifies our tables. */
export interface Table {
  readonly name: string;
  readonly comment: string;
}

export function tableUserdata({ comment }: Table): string {
  return userdata.comment(comment);
}

export type ElementAction = "add" | "ensure" | "delete";

/** A batch of changes to the tables with one name. */
export class TableBatch extends Batch {
  readonly #table: Table;
  #choices = 0;

  constructor(table: Table, message: MessageWriter, firstSeq: number) {
    super(message, firstSeq);
    this.#table = table;
  }

  /** An existing table is no error. */
  addTable(family: TableFamily): void {
    this.#write(family, nft.NFT_MSG_NEWTABLE, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_TABLE_NAME, this.#table.name);
      message.attrU32be(nft.NFTA_TABLE_FLAGS, 0);
      message.attrLatin1(nft.NFTA_TABLE_USERDATA, tableUserdata(this.#table));
    });
  }

  /** Removes the table. A missing one is no error. */
  removeTable(family: TableFamily): void {
    // Add first, so that the delete never fails with ENOENT. Without flags, because the kernel rejects a change of the
    // flag `persist`, which a table keeps when its owner has ended (EOPNOTSUPP).
    this.#write(
      family,
      nft.NFT_MSG_NEWTABLE,
      NLM_F_CREATE,
      (message) => message.attrString(nft.NFTA_TABLE_NAME, this.#table.name),
    );
    this.#write(
      family,
      nft.NFT_MSG_DELTABLE,
      0,
      (message) => message.attrString(nft.NFTA_TABLE_NAME, this.#table.name),
    );
  }

  /** Adds a chain without its rules. An existing chain with the same hook is no error. */
  addChain(family: TableFamily, { name, hook }: Chain): void {
    this.#write(family, nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_CHAIN_TABLE, this.#table.name);
      message.attrString(nft.NFTA_CHAIN_NAME, name);
      if (hook === undefined) return;
      message.attrString(nft.NFTA_CHAIN_TYPE, hook.type);
      message.attrU32be(nft.NFTA_CHAIN_POLICY, nft.NF_ACCEPT);
      message.nest(nft.NFTA_CHAIN_HOOK, () => {
        message.attrU32be(nft.NFTA_HOOK_HOOKNUM, hook.number);
        message.attrU32be(nft.NFTA_HOOK_PRIORITY, hook.priority >>> 0);
      });
    });
  }

  /** Deletes a chain and its rules. No rule or element may refer to it any more. */
  deleteChain(family: TableFamily, chain: string): void {
    this.#write(family, nft.NFT_MSG_DELCHAIN, 0, (message) => {
      message.attrString(nft.NFTA_CHAIN_TABLE, this.#table.name);
      message.attrString(nft.NFTA_CHAIN_NAME, chain);
    });
  }

  addRules(family: TableFamily, { name, rules }: Chain): void {
    for (const rule of rules) this.#addRule(family, name, rule);
  }

  /** Deletes the rules of one chain, or of all chains of the table. */
  deleteRules(family: TableFamily, chain?: string): void {
    this.#write(family, nft.NFT_MSG_DELRULE, 0, (message) => {
      message.attrString(nft.NFTA_RULE_TABLE, this.#table.name);
      if (chain !== undefined) message.attrString(nft.NFTA_RULE_CHAIN, chain);
    });
  }

  /** An existing set with the same key and kind is no error. */
  addSet(family: TableFamily, spec: SetSpec): void {
    // The kernel requires an id, although only anonymous sets need one.
    const id = this.count;
    this.#write(family, nft.NFT_MSG_NEWSET, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_SET_TABLE, this.#table.name);
      message.attrString(nft.NFTA_SET_NAME, spec.name);
      message.attrU32be(nft.NFTA_SET_FLAGS, flagsOf(spec));
      message.attrU32be(nft.NFTA_SET_KEY_TYPE, datatypeOf(spec.key));
      message.attrU32be(nft.NFTA_SET_KEY_LEN, lengthOf(spec.key));
      if (spec.kind === "verdict map") verdictType(message);
      if (spec.data !== undefined) {
        message.attrU32be(nft.NFTA_SET_DATA_TYPE, datatypeOf(spec.data));
        message.attrU32be(nft.NFTA_SET_DATA_LEN, lengthOf(spec.data));
      }
      message.attrU32be(nft.NFTA_SET_ID, id);
      if (spec.kind === "interval set") concatenation(message, spec);
      // A set that rules fill gets a size of 65535 from the kernel. With a size here, the kernel would allocate 1.3 MB
      // for it at once (Linux 6.18).
      if (spec.timeoutSeconds !== undefined) {
        message.attrU64be(nft.NFTA_SET_TIMEOUT, spec.timeoutSeconds * 1000);
      }
      message.attrLatin1(nft.NFTA_SET_USERDATA, userdataOf(spec));
    });
  }

  /** Adds a named counter. An existing one keeps its value. */
  addCounter(family: TableFamily, name: string): void {
    this.#write(family, nft.NFT_MSG_NEWOBJ, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_OBJ_TABLE, this.#table.name);
      message.attrString(nft.NFTA_OBJ_NAME, name);
      message.attrU32be(nft.NFTA_OBJ_TYPE, nft.NFT_OBJECT_COUNTER);
      message.nest(nft.NFTA_OBJ_DATA, () => {
        message.attrU64be(nft.NFTA_COUNTER_BYTES, 0);
        message.attrU64be(nft.NFTA_COUNTER_PACKETS, 0);
      });
    });
  }

  /** No rule may use the set any more. */
  deleteSet(family: TableFamily, set: string): void {
    this.#write(family, nft.NFT_MSG_DELSET, 0, (message) => {
      message.attrString(nft.NFTA_SET_TABLE, this.#table.name);
      message.attrString(nft.NFTA_SET_NAME, set);
    });
  }

  /** Deletes all elements. */
  flushSet(family: TableFamily, set: string): void {
    this.#write(family, nft.NFT_MSG_DELSETELEM, 0, (message) => {
      message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, this.#table.name);
      message.attrString(nft.NFTA_SET_ELEM_LIST_SET, set);
    });
  }

  /**
   * @param elements encoded by `writeElement`, less than 64 KB. The kernel rejects the addition of an
   * existing element with EEXIST, and the deletion of a missing one with ENOENT. "ensure" adds those that are missing.
   */
  elements(family: TableFamily, action: ElementAction, set: string, elements: Uint8Array): void {
    const type = action === "delete" ? nft.NFT_MSG_DELSETELEM : nft.NFT_MSG_NEWSETELEM;
    const flags = { add: NLM_F_CREATE | NLM_F_EXCL, ensure: NLM_F_CREATE, delete: 0 }[action];
    this.#write(family, type, flags, (message) => {
      message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, this.#table.name);
      message.attrString(nft.NFTA_SET_ELEM_LIST_SET, set);
      message.attrBytes(nft.NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, elements);
    });
  }

  #addRule(family: TableFamily, chain: string, rule: Rule): void {
    const choiceId = rule.choice === undefined ? 0 : this.#addChoice(family, rule.choice);
    this.#write(family, nft.NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (message) => {
      message.attrString(nft.NFTA_RULE_TABLE, this.#table.name);
      message.attrString(nft.NFTA_RULE_CHAIN, chain);
      message.nest(nft.NFTA_RULE_EXPRESSIONS, () => {
        for (const expression of rule.expressions) expression(message, choiceId);
      });
      if (rule.comment !== "") message.attrLatin1(nft.NFTA_RULE_USERDATA, userdata.comment(rule.comment));
    });
  }

  /**
   * Adds the anonymous map (slot → goto chain) of the rule that follows. The kernel deletes it with the rule.
   */
  #addChoice(family: TableFamily, chains: readonly string[]): number {
    const id = FIRST_CHOICE_ID + this.#choices++;
    this.#write(family, nft.NFT_MSG_NEWSET, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_SET_TABLE, this.#table.name);
      message.attrString(nft.NFTA_SET_NAME, CHOICE_MAP);
      message.attrU32be(nft.NFTA_SET_FLAGS, nft.NFT_SET_ANONYMOUS | nft.NFT_SET_CONSTANT | nft.NFT_SET_MAP);
      message.attrU32be(nft.NFTA_SET_KEY_TYPE, 4); // TYPE_INTEGER
      message.attrU32be(nft.NFTA_SET_KEY_LEN, 4);
      verdictType(message);
      message.attrU32be(nft.NFTA_SET_ID, id);
      message.nest(nft.NFTA_SET_DESC, () => message.attrU32be(nft.NFTA_SET_DESC_SIZE, chains.length));
      message.attrLatin1(nft.NFTA_SET_USERDATA, userdata.choiceMap());
    });
    for (let start = 0; start < chains.length; start += CHOICES_PER_MESSAGE) {
      this.#write(family, nft.NFT_MSG_NEWSETELEM, NLM_F_CREATE, (message) => {
        message.attrString(nft.NFTA_SET_ELEM_LIST_TABLE, this.#table.name);
        message.attrString(nft.NFTA_SET_ELEM_LIST_SET, CHOICE_MAP);
        message.attrU32be(nft.NFTA_SET_ELEM_LIST_SET_ID, id);
        message.nest(nft.NFTA_SET_ELEM_LIST_ELEMENTS, () => {
          for (const [index, chain] of chains.slice(start, start + CHOICES_PER_MESSAGE).entries()) {
            const element = { set: CHOICE_MAP, key: u32le(start + index), value: chain, comment: "" };
            writeElement(message, "verdict map", element);
          }
        });
      });
    }
    return id;
  }

  #write(family: TableFamily, type: number, flags: number, body: (message: MessageWriter) => void): void {
    this.write(family.nfproto, type, flags, body);
  }
}

/** Receives the contents of a table: for the kernel, or as text. */
export type TableWriter = Pick<
  TableBatch,
  | "removeTable"
  | "addTable"
  | "addSet"
  | "addCounter"
  | "addChain"
  | "addRules"
  | "elements"
  | "deleteChain"
  | "deleteRules"
  | "deleteSet"
  | "flushSet"
>;

/** Keeps a message below 64 KB: an element with the longest chain name and comment has about 600 bytes. */
const CHOICES_PER_MESSAGE = 100;
/** Ids are unique within a batch. Those of named sets are smaller: the numbers of their messages. */
const FIRST_CHOICE_ID = 0x4000_0000;

function verdictType(message: MessageWriter): void {
  message.attrU32be(nft.NFTA_SET_DATA_TYPE, nft.NFT_DATA_VERDICT);
  message.attrU32be(nft.NFTA_SET_DATA_LEN, 0);
}

/** Describes the fields of an interval set's key by their lengths without padding. */
function concatenation(message: MessageWriter, spec: SetSpec): void {
  message.nest(nft.NFTA_SET_DESC, () => {
    message.nest(nft.NFTA_SET_DESC_CONCAT, () => {
      for (const field of spec.key) {
        message.nest(nft.NFTA_LIST_ELEM, () => message.attrU32be(nft.NFTA_SET_FIELD_LEN, field.bytes));
      }
    });
  });
}
