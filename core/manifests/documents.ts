import { LineCounter, parseAllDocuments } from "yaml";
import { isCollection, isMap, isNode } from "yaml";
import { fingerprint } from "../objects/parse/fingerprint.ts";

/** One document of a manifest, not parsed yet. */
export interface ManifestDocument {
  readonly text: string;
  /** Line of its first character, from 1. */
  readonly line: number;
  readonly fingerprint: number;
}

/** One object of a document, as the parser gave it. */
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
 * Splits a file so that only the documents that changed need parsing. In YAML `---` at the start of a line ends a
 * document whatever surrounds it (YAML 1.2.2 §9.1.2), in JSON no line can start with it.
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
 * Objects of a document; those of a list (`kind: List`, `ServiceList` …) one by one.
 * @throws ManifestSyntaxError
 */
export function objectsOf(document: ManifestDocument): RawObject[] {
  const objects: RawObject[] = [];
  // JSON is YAML, but JSON.parse takes a hundredth of the time.
  if (/^(?:---)?\s*[{[]/.test(document.text)) {
    const body = document.text.startsWith("---") ? document.text.slice(3) : document.text;
    const value = parseJson(body);
    if (value !== notJson) {
      unpack(value, () => document.line, objects, 0);
      return objects;
    }
  }
  if (document.text.length > largestYaml) {
    throw new ManifestSyntaxError(
      document.line,
      "a document in YAML may have 4 MB, because reading it takes seconds: write JSON, which reads a hundred times " +
        "as fast (check its syntax if this is meant to be JSON), or put `---` between the objects",
    );
  }
  const lines = new LineCounter();
  const lineOf = (offset: number) => document.line + lines.linePos(offset).line - 1;
  for (const parsed of parseAllDocuments(document.text, parseOptions(lines))) {
    const error = parsed.errors[0];
    if (error !== undefined) throw new ManifestSyntaxError(lineOf(error.pos[0]), problemOf(error));
    const contents = parsed.contents;
    if (contents === null) continue;
    const value = expand(() => parsed.toJS({ maxAliasCount }), document.line);
    if (value === null) continue;
    const items = isMap(contents) ? contents.get("items", true) : undefined;
    const itemLine = (index: number): number => {
      const item = isCollection(items) ? items.items[index] : undefined;
      return lineOf((isNode(item) ? item.range?.[0] : contents.range?.[0]) ?? 0);
    };
    unpack(value, itemLine, objects, 0);
  }
  return objects;
}

/** An alias may be expanded this often: enough for anchors people write, too few for an alias bomb. */
const maxAliasCount = 100;
/** Characters. The parser takes a second for each million of usual contents, and six times that for unusual ones. */
const largestYaml = 4 * 1024 * 1024;
/** Lists inside lists are unpacked this deep. */
const maxListDepth = 4;

const parseOptions = (lineCounter: LineCounter) => ({
  lineCounter,
  uniqueKeys: true,
  strict: true,
  merge: true,
  prettyErrors: false,
  logLevel: "error",
} as const);

/** Neither blank nor only comments, markers and directives. */
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

const notJson = Symbol("not JSON");

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The YAML parser accepts what is YAML in flow style, and else says on which line it goes wrong.
    return notJson;
  }
}

/** The parser throws for what it will not expand. */
function expand(toJS: () => unknown, line: number): unknown {
  try {
    return toJS();
  } catch (error) {
    throw new ManifestSyntaxError(line, error instanceof Error ? problemOf(error) : String(error));
  }
}

function unpack(value: unknown, lineOf: (item: number) => number, into: RawObject[], depth: number): void {
  if (!isList(value) || depth === maxListDepth) {
    into.push({ value, line: lineOf(-1) });
    return;
  }
  const itemKind = value.kind.slice(0, -"List".length);
  for (const [index, item] of value.items.entries()) {
    const line = () => lineOf(index);
    // Items of a typed list carry no kind of their own.
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

/** In one line. The parser recurses as deep as the document is nested. */
function problemOf({ message }: Error): string {
  if (message.startsWith("Maximum call stack")) return "nested too deeply";
  return message.split("\n", 1)[0] ?? message;
}
