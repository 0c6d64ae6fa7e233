/** The formats of an exposition, by what scrapers ask for. */
export type Format = "text" | "openmetrics" | "protobuf";

export const CONTENT_TYPES = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  protobuf: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
} as const satisfies Readonly<Record<Format, string>>;

/** Chooses the format that the header Accept prefers, as promhttp of client_golang does. By default it is the text. */
export function negotiateFormat(accept: string): Format {
  const ranges = accept.split(",").map(parseRange).filter(({ quality }) => quality > 0);
  for (const { type, parameters } of ranges.toSorted((a, b) => b.quality - a.quality)) {
    const format = formatOf(type, parameters);
    if (format !== undefined) return format;
  }
  return "text";
}

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** Weight between 0 and 1. */
  readonly quality: number;
}

function parseRange(text: string): MediaRange {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const parameters = new Map(rest.map((parameter) => {
    const [name = "", value = ""] = parameter.split("=", 2);
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, "$1")];
  }));
  const quality = Number(parameters.get("q") ?? 1);
  return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
}

function formatOf(type: string, parameters: ReadonlyMap<string, string>): Format | undefined {
  const version = parameters.get("version");
  switch (type) {
    case "application/vnd.google.protobuf":
      return parameters.get("proto") === "io.prometheus.client.MetricFamily" &&
          parameters.get("encoding") === "delimited"
        ? "protobuf"
        : undefined;
    case "application/openmetrics-text":
      return version === undefined || version === "0.0.1" || version === "1.0.0" ? "openmetrics" : undefined;
    case "text/plain":
      return version === undefined || version === "0.0.4" ? "text" : undefined;
    case "text/*":
    case "*/*":
      return "text";
    default:
      return undefined;
  }
}
