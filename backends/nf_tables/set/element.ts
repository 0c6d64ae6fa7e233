import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import type { ElementAction, TableWriter } from "../batch.ts";
import * as nft from "../constants.ts";
import { verdictData } from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import * as userdata from "../userdata.ts";
import type { SetKind, SetSpec } from "./spec.ts";

/** An element of a set or map. Keys and data are binary strings: see keys.ts. */
export interface Element {
  readonly set: string;
  readonly key: string;
  /**
   * Depends on the kind of the set. Map: the data. Verdict map: DROP, or the chain to go to. Interval set:
   * the last key of the range. Other kinds: "".
   */
  readonly value: string;
  /** "" for none. */
  readonly comment: string;
}

/** Value in a verdict map that drops the packet. No chain has this name. */
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

/**
 * A list is written when it exceeds this length. An attribute has at most 64 KB, which leaves space for one
 * element.
 */
const FULL_BYTES = 60_000;

/**
 * Collects elements, which come in the order of services, in one list per set, and writes a list to the batch
 * when it is full.
 */
export class ElementLists {
  readonly #batch: Pick<TableWriter, "elements">;
  readonly #family: TableFamily;
  readonly #action: ElementAction;
  readonly #specs: readonly SetSpec[];
  readonly #lists = new Map<string, List>();

  constructor(
    batch: Pick<TableWriter, "elements">,
    family: TableFamily,
    action: ElementAction,
    specs: readonly SetSpec[],
  ) {
    this.#batch = batch;
    this.#family = family;
    this.#action = action;
    this.#specs = specs;
  }

  add(element: Element): void {
    const list = this.#lists.get(element.set) ?? this.#begin(element.set);
    writeElement(list.elements, list.spec.kind, element);
    if (list.elements.length > FULL_BYTES) this.#write(list.spec, list.elements);
  }

  /** Writes the rest of every list. */
  flush(): void {
    for (const { spec, elements } of this.#lists.values()) {
      if (elements.length > 0) this.#write(spec, elements);
    }
  }

  #begin(set: string): List {
    const spec = this.#specs.find(({ name }) => name === set);
    if (spec === undefined) throw new Error(`nf_tables: no set ${set}`);
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
