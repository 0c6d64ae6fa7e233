import { isMapping } from "../../objects/parse/fields.ts";
import { metadataOf } from "./known_objects.ts";

/** One page of a list. */
export interface ListPage {
  readonly items: readonly unknown[];
  /** Resource version of the list. */
  readonly version: string;
  /** Continue token of the next page; "" on the last one. */
  readonly next: string;
}

/** In UTF-16 code units. 500 slices of 1,000 endpoints with names of maximum length stay below. */
const MAX_PAGE_LENGTH = 256 * 1024 * 1024;

/** Collects the bytes of one page. */
export class PageReader {
  readonly #decoder = new TextDecoder();
  #text = "";

  /** @throws RangeError when the page is too large. */
  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (this.#text.length > MAX_PAGE_LENGTH) {
      throw new RangeError(`a page of more than ${MAX_PAGE_LENGTH} bytes`);
    }
  }

  /** @throws Error when the response is not a list. */
  end(): ListPage {
    const page: unknown = parseJson("a list", this.#text);
    const metadata = metadataOf(page);
    // Some servers encode an empty list as null.
    const items: unknown = isMapping(page) ? page.items ?? [] : undefined;
    if (!Array.isArray(items) || metadata.resourceVersion === "") {
      throw new Error("the response is not a list");
    }
    return { items, version: metadata.resourceVersion, next: metadata.continue };
  }
}

/** @throws Error that names what was expected and shows how the text begins */
export function parseJson(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`the response is not ${what} in JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
}
