/**
 * Reads fields of decoded JSON or YAML that is not validated yet. Every function throws `InvalidField`, and
 * nothing else, when a value is not of the expected form. A field that is null counts as absent, as in the
 * API.
 */

export type Mapping = Readonly<Record<string, unknown>>;

export class InvalidField extends Error {
  override readonly name = "InvalidField";
  constructor(
    /** Path from the object's root, complete once the error has left all sections: `spec.ports[1].port`. */
    readonly path: string,
    /** The problem, and what to write instead. */
    readonly problem: string,
  ) {
    super(`${path}: ${problem}`);
  }
}

export function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses the mapping under `key`; an absent one counts as empty. Prefixes the path of errors with `key`. */
export function section<T>(from: Mapping, key: string, parse: (section: Mapping) => T): T {
  const value = mapping(from, key) ?? EMPTY;
  try {
    return parse(value);
  } catch (error) {
    throw below(key, error);
  }
}

const EMPTY: Mapping = {};

export function mapping(from: Mapping, key: string): Mapping | undefined {
  const value = from[key] ?? undefined;
  if (value === undefined || isMapping(value)) return value;
  throw new InvalidField(key, `${show(value)} is not a mapping`);
}

/**
 * Parses every element of the list under `key` and drops undefined results. An absent list counts as empty.
 */
export function elements<T>(
  from: Mapping,
  key: string,
  parse: (element: unknown, index: number) => T | undefined,
): readonly T[] {
  const values = list(from, key);
  if (values.length === 0) return NONE;
  let at = 0;
  try {
    // Allocated in its final size, because a list that grows keeps spare capacity.
    const parsed = new Array<T | undefined>(values.length);
    for (; at < values.length; at++) parsed[at] = parse(values[at], at);
    return parsed.every(isDefined) ? parsed : parsed.filter(isDefined);
  } catch (error) {
    throw below(`${key}[${at}]`, error);
  }
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}

/** The one empty list of all objects. */
export const NONE: readonly never[] = Object.freeze([]);

/** Like `elements`, for lists of mappings. */
export function mappings<T>(
  from: Mapping,
  key: string,
  parse: (element: Mapping, index: number) => T | undefined,
): readonly T[] {
  return elements(from, key, (element, index) => {
    if (!isMapping(element)) throw new InvalidField("", `${show(element)} is not a mapping`);
    return parse(element, index);
  });
}

/** Like `elements`, for lists of strings. */
export function texts<T>(
  from: Mapping,
  key: string,
  parse: (element: string, index: number) => T | undefined,
): readonly T[] {
  return elements(from, key, (element, index) => {
    if (typeof element !== "string") throw new InvalidField("", `${show(element)} is not a string`);
    return parse(element, index);
  });
}

export function list(from: Mapping, key: string): readonly unknown[] {
  const value = from[key] ?? NONE;
  if (Array.isArray(value)) return value;
  throw new InvalidField(key, `${show(value)} is not a list`);
}

/** Returns "" when the field is absent. */
export function text(from: Mapping, key: string): string {
  const value = from[key] ?? "";
  if (typeof value === "string") return value;
  throw new InvalidField(key, `${show(value)} is not a string`);
}

export function flag(from: Mapping, key: string, absent: boolean): boolean {
  const value = from[key] ?? absent;
  if (typeof value === "boolean") return value;
  throw new InvalidField(key, `${show(value)} is neither true nor false`);
}

/** Returns one of `allowed`; `absent` when the field is absent or "". */
export function choice<T extends string>(from: Mapping, key: string, allowed: readonly T[], absent: T): T {
  const value = text(from, key);
  if (value === "") return absent;
  const chosen = allowed.find((one) => one === value);
  if (chosen === undefined) throw new InvalidField(key, `${show(value)} is none of ${allowed.join(", ")}`);
  return chosen;
}

export const A_PORT = "a port (1-65535)";

/** Returns a port number; 0 when the field is absent or 0. */
export function port(from: Mapping, key: string): number {
  return integer(from, key, { min: 0, max: 65535, what: A_PORT, absent: 0 });
}

/** Returns a whole number from `min` to `max`. `what` names the expected value in errors. */
export function integer(
  from: Mapping,
  key: string,
  { min, max, what, absent }: { min: number; max: number; what: string; absent?: number },
): number {
  const value = from[key] ?? absent;
  if (value === undefined) throw new InvalidField(key, `missing; write ${what}`);
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  const fix = typeof value === "string" && /^\d{1,9}$/.test(value) ? "; write it without quotes" : "";
  throw new InvalidField(key, `${show(value)} is not ${what}${fix}`);
}

/** Renders any value for an error message: short, on one line, in printable ASCII. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return value.length > MAX_SHOWN ? `${quote(value.slice(0, MAX_SHOWN))}...` : quote(value);
  }
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a mapping" : `a ${typeof value}`;
}

const MAX_SHOWN = 60;

function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function below(prefix: string, error: unknown): unknown {
  if (!(error instanceof InvalidField)) return error;
  const separator = error.path === "" || error.path.startsWith("[") ? "" : ".";
  return new InvalidField(`${prefix}${separator}${error.path}`, error.problem);
}
