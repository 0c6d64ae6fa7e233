/** Longest message and longest text in a field, in UTF-16 code units. */
export const MAX_TEXT = 2048;

/** Most fields of a line, elements of an array and properties of an object. */
export const MAX_ENTRIES = 32;

/** Most UTF-16 code units of all texts of a line together, so that nested lists stay small, too. */
export const MAX_LINE_TEXT = 16_384;

/** Part of MAX_LINE_TEXT that a field, an element or a property takes beside its text. */
const ENTRY_COST = 8;

/** Deepest nesting of arrays and objects, and longest chain of causes. */
const MAX_DEPTH = 4;

/**
 * Makes the values of one line short and safe to encode. Names of objects, errors of the kernel, and answers of
 * servers and programs are chosen by others, so each of them is cut at a limit, with a mark that says how much is
 * missing.
 */
export class LineValues {
  #left = MAX_LINE_TEXT;

  text(value: string): string {
    const limit = Math.min(MAX_TEXT, this.#left);
    if (value.length <= limit) {
      this.#left -= value.length;
      return value;
    }
    this.#left -= limit;
    // Not between the halves of a surrogate pair.
    const end = limit > 0 && isHighSurrogate(value.charCodeAt(limit - 1)) ? limit - 1 : limit;
    return `${value.slice(0, end)}… (${value.length - end} more characters)`;
  }

  /** Returns the fields of a line, in their order. */
  fields(fields: Readonly<Record<string, unknown>>): readonly (readonly [key: string, value: unknown])[] {
    return this.#properties(fields, 0);
  }

  /**
   * Converts a value to one that JSON can hold: an error becomes its message and its causes. Undefined stays, so
   * that each format can show it in its way.
   */
  #plain(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
        return this.text(value);
      case "number":
      case "boolean":
      case "undefined":
        return value;
      case "object":
        if (value === null) return null;
        break;
      default:
        return this.text(String(value));
    }
    if (value instanceof Error) return this.text(errorText(value));
    if (depth >= MAX_DEPTH) return "…";
    if (Array.isArray(value)) return this.#elements(value, depth);
    if ("toJSON" in value && typeof value.toJSON === "function") {
      return this.#plain(value.toJSON(), depth + 1);
    }
    return Object.fromEntries(this.#properties(value, depth));
  }

  #elements(values: readonly unknown[], depth: number): unknown[] {
    const plain: unknown[] = [];
    for (const value of values) {
      if (!this.#admits(plain)) return [...plain, `… (${values.length - plain.length} more)`];
      plain.push(this.#plain(value, depth + 1));
    }
    return plain;
  }

  #properties(object: object, depth: number): [string, unknown][] {
    const plain: [string, unknown][] = [];
    const entries = Object.entries(object);
    for (const [key, value] of entries) {
      if (!this.#admits(plain)) return [...plain, ["…", `${entries.length - plain.length} more`]];
      plain.push([this.text(key), this.#plain(value, depth + 1)]);
    }
    return plain;
  }

  #admits({ length }: readonly unknown[]): boolean {
    if (length === MAX_ENTRIES || this.#left <= 0) return false;
    this.#left = Math.max(0, this.#left - ENTRY_COST);
    return true;
  }
}

function errorText(error: Error, depth = 0): string {
  const message = String(error.message);
  if (!(error.cause instanceof Error) || depth >= MAX_DEPTH) return message;
  const cause = errorText(error.cause, depth + 1);
  // An error that was translated for the reader already has the message of its cause.
  return message.includes(cause) ? message : `${message}: ${cause}`;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
