import type { SlotRange } from "../maps/layout.ts";
import { MAX_ID } from "./identity.ts";

/** Ids and slots that plans keep. Each is kept only once, whatever the kernel's entries contain. */
export class KeptAllocations {
  readonly #ids = new Set<number>([0]);
  /** 1 for kept slots. */
  readonly #isKept: Uint8Array;
  readonly slots: SlotRange[] = [];

  constructor(capacity: number) {
    this.#isKept = new Uint8Array(capacity);
  }

  /** Returns false if the id is kept already, or is none. */
  keepId(id: number): boolean {
    if (id > MAX_ID || this.#ids.has(id)) return false;
    this.#ids.add(id);
    return true;
  }

  /** Returns false if one of the slots is kept already. */
  keepSlots(range: SlotRange): boolean {
    const slots = this.#isKept.subarray(range.first, range.first + range.count);
    if (slots.includes(1)) return false;
    slots.fill(1);
    if (range.count > 0) this.slots.push(range);
    return true;
  }

  /** Reports whether all slots of the range are kept. */
  hasAll(range: SlotRange): boolean {
    return !this.#isKept.subarray(range.first, range.first + range.count).includes(0);
  }
}
