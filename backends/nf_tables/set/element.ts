import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import type { TableBatch } from "../batch.ts";
import * as nft from "../constants.ts";
import { verdictData } from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import * as userdata from "../userdata.ts";
import type { SetKind, SetSpec } from "./spec.ts";

/** One element of a set or map of the table. Keys and data are binary strings, see keys.ts. */
export interface Element {
  readonly set: string;
  readonly key: string;
  /** By the set's kind: of a map the data, of a verdict map DROP or the chain to go to, of an interval set its last key; else "". */
  readonly value: string;
  /** "" for none. */
  readonly comment: string;
}

/** Value of a verdict map's element that ends the packet; no chain has this name. */
export const DROP = "drop";

export function writeElement(message: MessageWriter, kind: SetKind, element: Element): void {
  const mark = message.nestStart(nft.NFTA_LIST_ELEM);
  dataValue(message, nft.NFTA_SET_ELEM_KEY, element.key);
  if (kind === "map") dataValue(message, nft.NFTA_SET_ELEM_DATA, element.value);
  else if (kind === "interval set") dataValue(message, nft.NFTA_SET_ELEM_KEY_END, element.value);
  else if (kind === "verdict map") {
    const data = message.nestStart(nft.NFTA_SET_ELEM_DATA);
    if (element.value === DROP) verdictData(message, nft.NF_DROP, undefined);
    else verdictData(message, nft.NFT_GOTO, element.value);
    message.nestEnd(data);
  }
  if (element.comment !== "") {
    message.attrLatin1(nft.NFTA_SET_ELEM_USERDATA, userdata.comment(element.comment));
  }
  message.nestEnd(mark);
}

function dataValue(message: MessageWriter, type: number, value: string): void {
  const mark = message.nestStart(type);
  message.attrLatin1(nft.NFTA_DATA_VALUE, value);
  message.nestEnd(mark);
}

/** A list is one attribute, whose length is 16 bits wide; what is left is room for one more element. */
const FULL_BYTES = 60_000;

/**
 * Elements come in the order of services and go to the kernel in lists by set. One list a set is filled at a time,
 * and written to the batch when it is full.
 */
export class ElementLists {
  readonly #batch: TableBatch;
  readonly #family: TableFamily;
  readonly #action: "add" | "delete";
  readonly #specs: readonly SetSpec[];
  readonly #lists = new Map<string, List>();

  constructor(batch: TableBatch, family: TableFamily, action: "add" | "delete", specs: readonly SetSpec[]) {
    this.#batch = batch;
    this.#family = family;
    this.#action = action;
    this.#specs = specs;
  }

  put(element: Element): void {
    const list = this.#lists.get(element.set) ?? this.#begin(element.set);
    writeElement(list.elements, list.spec.kind, element);
    if (list.elements.length > FULL_BYTES) this.#write(list.spec, list.elements);
  }

  /** Writes what is left of every list. */
  flush(): void {
    for (const { spec, elements } of this.#lists.values()) {
      if (elements.length > 0) this.#write(spec, elements);
    }
  }

  #begin(set: string): List {
    const spec = this.#specs.find(({ name }) => name === set);
    if (spec === undefined) throw new Error(`nf_tables: there is no set ${set}`);
    const list = { spec, elements: new MessageWriter(1024) };
    this.#lists.set(set, list);
    return list;
  }

  #write(spec: SetSpec, elements: MessageWriter): void {
    this.#batch.elements(this.#family, this.#action, spec.name, elements.bytes());
    elements.reset();
  }
}

interface List {
  readonly spec: SetSpec;
  readonly elements: MessageWriter;
}
