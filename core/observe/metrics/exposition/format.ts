import { mediaRanges } from "../../http/accept.ts";

/** The formats of an exposition, by what scrapers ask for. */
export type Format = "text" | "openmetrics" | "protobuf";

export const CONTENT_TYPES = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  protobuf: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
} as const satisfies Readonly<Record<Format, string>>;

/** Chooses the format that the header Accept prefers, as promhttp of client_golang does. By default it is the text. */
export function negotiateFormat(accept: string): Format {
  for (const { type, parameters } of mediaRanges(accept)) {
    const format = formatOf(type, parameters);
    if (format !== undefined) return format;
  }
  return "text";
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
