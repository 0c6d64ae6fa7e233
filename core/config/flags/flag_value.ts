import { parseAddress } from "../../net/address.ts";
import { formatDuration, parseDuration } from "../document/duration.ts";
import type { FlagType, TypedValue } from "./flag.ts";
import { splitHostPort } from "../document/listen_address.ts";

interface ValueType<Value> {
  /** Returns undefined if the text is not a value of this type. */
  parse(text: string): Value | undefined;
  /** Follows "must be" in a message. */
  readonly expected: string;
  /** Adds the value of a repeated flag to the earlier value. Without it, the last value counts. */
  join?(before: Value, next: Value): Value;
}

export const valueTypes: { readonly [Type in FlagType]: ValueType<TypedValue[Type]> } = {
  string: { parse: (text) => text, expected: "text" },
  bool: { parse: parseBool, expected: "true or false" },
  int: { parse: parseInt32, expected: "a whole number of at most 32 bits" },
  number: {
    parse: (text) => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined,
    expected: "a number",
  },
  duration: {
    parse(text) {
      const ms = parseDuration(text);
      return ms === undefined ? undefined : formatDuration(ms);
    },
    expected: "a duration such as 30s, 1m30s or 100ms",
  },
  ip: {
    parse: (text) => text === "" || parseAddress(text) !== undefined ? text : undefined,
    expected: "an IP address",
  },
  "ip:port": {
    parse: (text) =>
      text === "" || parseAddress(splitHostPort(text)?.host ?? text) !== undefined ? text : undefined,
    expected: "an IP address with or without a port, such as 0.0.0.0:10256 or [::]:10256",
  },
  list: {
    parse: (text) => text === "" ? [] : text.split(","),
    expected: "a list separated by commas",
    join: (before, next) => [...before, ...next],
  },
  version: {
    parse: (text) => parseBool(text)?.toString() ?? (/^(raw|v\d+\.\d+.*)$/.test(text) ? text : undefined),
    expected: "true, false, raw or a version such as v1.37.1",
  },
  switches: {
    parse: parseSwitches,
    expected: "Name=true or Name=false, separated by commas",
    join: (before, next) => ({ ...before, ...next }),
  },
};

/** Accepts the spellings of Go's strconv.ParseBool. */
function parseBool(text: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  return undefined;
}

function parseInt32(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  return value === (value | 0) ? value : undefined;
}

function parseSwitches(text: string): Record<string, boolean> | undefined {
  const switches: Record<string, boolean> = {};
  for (const item of text.split(",").filter((item) => item.trim() !== "")) {
    const [name = "", setting = ""] = item.split("=", 2).map((part) => part.trim());
    const value = parseBool(setting);
    if (name === "" || value === undefined) return undefined;
    switches[name] = value;
  }
  return switches;
}
