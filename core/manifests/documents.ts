import { decodeYaml, YamlError } from "../yaml.ts";
import type { YamlDocument } from "../yaml.ts";
import { fingerprint } from "../objects/parse/fingerprint.ts";

/** An unparsed document of a manifest. */
export interface ManifestDocument {
  readonly text: string;
  /** Line of its first character, counted from 1. */
  readonly line: number;
  readonly fingerprint: number;
}

/** An object of a document as decoded, not validated. */
export interface RawObject {
  readonly value: unknown;
  readonly line: number;
}

/** The document cannot be parsed. */
export class ManifestSyntaxError extends Error {
  override readonly name = "ManifestSyntaxError";
  constructor(readonly line: number, message: string) {
    super(message);
  }
}

/**
 * Splits a file into documents, so that only changed documents are parsed. In YAML, `---` at the start of a line always
 * ends a document (YAML 1.2.2 §9.1.2). In JSON, no line can start with it.
 */
export function* documentsOf(text: string): Generator<ManifestDocument> {
  const body = text.startsWith("\ufeff") ? text.slice(1) : text;
  const marker = /^---(?=[ \t\r\n]|$)/gm;
  let start = 0;
  let line = 1;
  for (const match of body.matchAll(marker)) {
    const part = body.slice(start, match.index);
    if (hasContent(part)) yield documentAt(part, line);
    line += countLines(part);
    start = match.index;
  }
  const last = body.slice(start);
  if (hasContent(last)) yield documentAt(last, line);
}

/**
 * Decodes the objects of a document. A list (`kind: List`, `ServiceList` …) yields its items.
 * @param report is called with problems that do not make the document invalid.
 * @throws ManifestSyntaxError
 */
export function objectsOf(
  document: ManifestDocument,
  report: (line: number, problem: string) => void,
): RawObject[] {
  const objects: RawObject[] = [];
  // JSON is valid YAML, but JSON.parse is a hundred times as fast.
  if (/^(?:---)?\s*[{[]/.test(document.text)) {
    const body = document.text.startsWith("---") ? document.text.slice(3) : document.text;
    const value = parseJson(body);
    if (value !== NOT_JSON) {
      unpack(value, () => document.line, objects, 0);
      return objects;
    }
  }
  if (document.text.length > MAX_YAML_LENGTH) {
    throw new ManifestSyntaxError(
      document.line,
      "a YAML document may have at most 4 MB, because parsing it takes seconds; use JSON, which is parsed a hundred " +
        "times as fast (if this is JSON, check its syntax), or put `---` between the objects",
    );
  }
  const lineOf = (line: number) => document.line + line - 1;
  for (const yaml of decode(document)) {
    if (yaml.value === null) continue;
    for (const { key, line } of yaml.duplicates) {
      report(lineOf(line), `the key ${JSON.stringify(key)} is repeated; the last value counts`);
    }
    const itemLine = (index: number) => lineOf(yaml.lineOf(index < 0 ? [] : ["items", index]));
    unpack(yaml.value, itemLine, objects, 0);
  }
  return objects;
}

/** In characters. The parser needs one second per million characters of usual contents, and up to six for others. */
const MAX_YAML_LENGTH = 4 * 1024 * 1024;
/** Limit for lists inside lists. */
const MAX_LIST_DEPTH = 4;

function decode(document: ManifestDocument): YamlDocument[] {
  try {
    return decodeYaml(document.text);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new ManifestSyntaxError(document.line + error.line - 1, error.message);
  }
}

/** True when the text has more than blank lines, comments, markers and directives. */
function hasContent(part: string): boolean {
  return /^(?!---[ \t]*(?:#|\r?$)|\.\.\.|%|[ \t]*(?:#|\r?$))./m.test(part);
}

function documentAt(text: string, line: number): ManifestDocument {
  return { text, line, fingerprint: fingerprint(text) };
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

const NOT_JSON = Symbol("not JSON");

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The YAML parser accepts flow style, and reports the line of a syntax error.
    return NOT_JSON;
  }
}

function unpack(value: unknown, lineOf: (item: number) => number, into: RawObject[], depth: number): void {
  if (!isList(value) || depth === MAX_LIST_DEPTH) {
    into.push({ value, line: lineOf(-1) });
    return;
  }
  const itemKind = value.kind.slice(0, -"List".length);
  for (const [index, item] of value.items.entries()) {
    const line = () => lineOf(index);
    // Items of a typed list have no kind of their own.
    if (itemKind !== "" && isRecord(item) && item.kind === undefined) {
      item.kind = itemKind;
      item.apiVersion = value.apiVersion;
    }
    unpack(item, line, into, depth + 1);
  }
}

interface List {
  readonly kind: string;
  readonly apiVersion?: unknown;
  readonly items: readonly unknown[];
}

function isList(value: unknown): value is List {
  return isRecord(value) && typeof value.kind === "string" && value.kind.endsWith("List") &&
    Array.isArray(value.items);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
