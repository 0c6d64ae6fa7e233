import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { type Element, writeElement } from "./elements.ts";
import type { TableFamily } from "./families.ts";
import type { SetSpec } from "./sets.ts";
import type { TableBatch } from "./table_batch.ts";

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
