import type { FlagReader } from "../../backend/mode.ts";
import type { FlagTable } from "./flag.ts";

/** The values of all flags as Go prints them, by name. */
export function flagTexts(table: FlagTable, valuesOf: FlagReader): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(valuesOf(table)).map(([name, value]) => [name, textOf(value)]));
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.join(",")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value).map(([key, setting]) => `${key}=${setting}`).sort().join(",");
}
