/** A cell of a table: a text, or a text with a colour. */
export type Cell = string | { readonly text: string; readonly colour: Colour };

/** Colours by their meaning: green is good, yellow needs attention, red is wrong. */
export type Colour = keyof typeof escapes;

/** Parameters of "select graphic rendition" (ECMA-48 §8.3.117). */
const escapes = { plain: "", bold: "1", dim: "2", red: "31", green: "32", yellow: "33", cyan: "36" } as const;

export interface TableStyle {
  readonly hasColours: boolean;
  /** Spaces before each row. */
  readonly indent: number;
}

/**
 * Renders rows as columns of equal width, two spaces apart. The last column is not padded. Control characters are
 * shown as `\u001b`, so that a name from the cluster cannot control the terminal.
 */
export function renderTable(rows: readonly (readonly Cell[])[], { hasColours, indent }: TableStyle): string {
  const printable = rows.map((row) => row.map(printableCell));
  const widths: number[] = [];
  for (const row of printable) {
    for (const [column, { text }] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, text.length);
    }
  }
  return printable.map((row) => {
    const cells = row.map(({ text, colour }, column) => {
      const padding = column === row.length - 1 ? 0 : (widths[column] ?? 0) - text.length;
      return coloured(text, colour, hasColours) + " ".repeat(padding);
    });
    return `${" ".repeat(indent)}${cells.join("  ").trimEnd()}\n`;
  }).join("");
}

/** Colours a text for a terminal. */
export function coloured(text: string, colour: Colour, hasColours: boolean): string {
  return !hasColours || colour === "plain" || text === "" ? text : `\x1b[${escapes[colour]}m${text}\x1b[0m`;
}

/** Replaces control characters, and those that change the direction of text, by their escapes. */
export function printable(text: string): string {
  return text.replaceAll(
    // deno-lint-ignore no-control-regex
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function printableCell(cell: Cell): { readonly text: string; readonly colour: Colour } {
  return typeof cell === "string"
    ? { text: printable(cell), colour: "plain" }
    : { ...cell, text: printable(cell.text) };
}
