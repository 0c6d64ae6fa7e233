/** An element of the header Accept. */
export interface MediaRange {
  /** Type in lower case, without parameters: "text/plain", "text/*". */
  readonly type: string;
  /** Parameters with their names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The media ranges of the header Accept, the most wanted first. Those with weight 0 are left out. */
export function mediaRanges(accept: string): readonly MediaRange[] {
  return accept.split(",").map(parseRange)
    .filter(({ type, quality }) => type !== "" && quality > 0)
    .sort((a, b) => b.quality - a.quality);
}

function parseRange(text: string): MediaRange & { readonly quality: number } {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const parameters = new Map(rest.map((parameter) => {
    const [name = "", value = ""] = parameter.split("=", 2);
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, "$1")];
  }));
  const quality = Number(parameters.get("q") ?? 1);
  return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
}
