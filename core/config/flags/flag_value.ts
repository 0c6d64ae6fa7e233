import { parseAddress } from "../../net/address.ts";
import { formatDuration, parseDuration } from "../document/duration.ts";
import type { FlagType, TypedValue } from "./flag.ts";
import { splitHostPort } from "../document/listen_address.ts";

interface ValueType<Value> {
  /** Undefined when the text does not fit. */
  parse(text: string): Value | undefined;
  /** What the text must be, to follow "must be". */
  readonly expected: string;
  /** How a flag that is written again adds to what it said before; without it the last one counts. */
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
    expected: "an IP address with or without a port, as 0.0.0.0:10256 or [::]:10256",
  },
  list: {
    parse: (text) => text === "" ? [] : text.split(","),
    expected: "a list with commas between",
    join: (before, next) => [...before, ...next],
  },
  switches: {
    parse: parseSwitches,
    expected: "Name=true or Name=false, with commas between",
    join: (before, next) => ({ ...before, ...next }),
  },
};

/** The spellings of Go's strconv.ParseBool. */
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
