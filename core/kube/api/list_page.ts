import { isMapping } from "../../objects/parse/fields.ts";
import { metadataOf } from "./known_objects.ts";

/** One page of a list. */
export interface ListPage {
  readonly items: readonly unknown[];
  /** Version of the collection that the list shows. */
  readonly version: string;
  /** Continue token of the page after it; "" when it is the last. */
  readonly next: string;
}

/** In UTF-16 units: 500 slices of a thousand endpoints with the longest names stay below. */
const longestPage = 256 * 1024 * 1024;

/** Collects the bytes of one page. */
export class PageReader {
  readonly #decoder = new TextDecoder();
  #text = "";

  /** @throws RangeError when the page is too large. */
  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (this.#text.length > longestPage) throw new RangeError(`a page of more than ${longestPage} bytes`);
  }

  /** @throws Error when it is no list. */
  end(): ListPage {
    const page: unknown = JSON.parse(this.#text);
    const metadata = metadataOf(page);
    // No items at all are written as null by some servers.
    const items: unknown = isMapping(page) ? page.items ?? [] : undefined;
    if (!Array.isArray(items) || metadata.resourceVersion === "") throw new Error("the answer is not a list");
    return { items, version: metadata.resourceVersion, next: metadata.continue };
  }
}
