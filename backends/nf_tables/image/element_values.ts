import type { Attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../constants.ts";
import type { ElementsOfSet } from "./table_image.ts";

/** The elements of a set by their keys, as binary strings. Takes much more memory than a digest. */
export class ElementValues implements ElementsOfSet<ElementValues> {
  readonly #values = new Map<string, string>();

  addList(list: Attribute): void {
    for (const element of list.attributes()) {
      let [key, value] = ["", ""];
      // The kernel lists the attributes of an element in an order of its own.
      const parts = [...element.attributes()].sort((a, b) => a.type - b.type);
      for (const part of parts) {
        if (part.type === nft.NFTA_SET_ELEM_KEY || part.type === nft.NFTA_SET_ELEM_KEY_END) {
          key += valueOf(part);
        } else if (part.type === nft.NFTA_SET_ELEM_DATA) value += valueOf(part) || verdictOf(part);
        else if (part.type === nft.NFTA_SET_ELEM_USERDATA) value += part.latin1();
      }
      this.#values.set(key, value);
    }
  }

  equals(other: ElementValues | undefined): boolean {
    return other !== undefined && this.#values.size === other.#values.size &&
      this.#values.entries().every(([key, value]) => other.#values.get(key) === value);
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /** Tells how an element differs from that of another set. */
  compare(key: string, other: ElementValues | undefined): "equal" | "missing" | "different" {
    const value = other === undefined ? undefined : other.#values.get(key);
    return value === undefined ? "missing" : value === this.#values.get(key) ? "equal" : "different";
  }
}

/** The bytes of a key or of data; "" for a verdict. */
function valueOf(data: Attribute): string {
  return data.attribute(nft.NFTA_DATA_VALUE)?.latin1() ?? "";
}

/** The code and the chain of a verdict. */
function verdictOf(data: Attribute): string {
  const verdict = data.attribute(nft.NFTA_DATA_VERDICT);
  return [...verdict?.attributes() ?? []].map((part) => part.latin1()).join("\0");
}
