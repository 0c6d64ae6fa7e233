import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type ParsedNode,
  Scalar,
  type ScalarTag,
  type YAMLMap,
} from "yaml";

/** A decoded document of a YAML stream. */
export interface YamlDocument {
  /** Mappings, lists, text, numbers, booleans and null. Values that aliases share are shared, too. */
  readonly value: unknown;
  /** Keys that a mapping repeats. The last value counts. */
  readonly duplicates: readonly DuplicateKey[];
  /** Returns the line of the value at `path`, counted from 1, or of the document if there is none. */
  lineOf(path: readonly (string | number)[]): number;
}

export interface DuplicateKey {
  readonly key: string;
  /** Line of the repetition, counted from 1. */
  readonly line: number;
}

/** The text is not YAML, or not YAML that JSON can express. */
export class YamlError extends Error {
  override readonly name = "YamlError";
  /** @param line counted from 1 */
  constructor(readonly line: number, message: string) {
    super(message);
  }
}

/**
 * Decodes the documents of a YAML text as Kubernetes does (sigs.k8s.io/yaml 1.6, which uses go-yaml 2): YAML 1.1
 * without numbers to the base of 60, converted to JSON. `yes`, `no`, `on`, `off`, `y` and `n` are booleans, `016` is
 * octal, dates are text, `<<` merges mappings, and of a repeated key the last value counts. `%YAML 1.2`, which
 * go-yaml 2 rejects, is accepted and has no effect.
 * @throws YamlError
 */
export function decodeYaml(text: string): YamlDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { ...parseOptions, lineCounter: lines });
  return [...documents].map((document) => decodeDocument(document, lines));
}

/**
 * Decodes the first document and ignores the others, as Kubernetes does with kubeconfig and configuration files. The
 * value of an empty text is null.
 * @throws YamlError
 */
export function decodeFirstYaml(text: string): YamlDocument {
  const lines = new LineCounter();
  const [document] = parseAllDocuments(text, { ...parseOptions, lineCounter: lines });
  return document === undefined
    ? { value: null, duplicates: [], lineOf: () => 1 }
    : decodeDocument(document, lines);
}

/**
 * Limit of values that a document has after its aliases are replaced. Every document of 4 MB without aliases has less.
 * An alias bomb has more.
 */
const MAX_VALUES = 5_000_000;

function decodeDocument(
  document: Document.Parsed<ParsedNode>,
  lines: LineCounter,
): YamlDocument {
  const lineAt = (offset: number | undefined) => lines.linePos(offset ?? 0).line;
  const error = document.errors[0];
  if (error !== undefined) throw new YamlError(lineAt(error.pos[0]), problemOf(error));
  const decoder = new Decoder(lineAt);
  const start = document.contents?.range[0] ?? document.range[0];
  let value: unknown;
  try {
    value = decoder.decode(document.contents);
  } catch (error) {
    if (error instanceof YamlError || !(error instanceof Error)) throw error;
    throw new YamlError(lineAt(start), problemOf(error));
  }
  return {
    value,
    duplicates: decoder.duplicates,
    lineOf(path) {
      const node = document.getIn(path, true);
      return lineAt(isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : start);
    },
  };
}

/** Turns nodes into values. Aliases share the value of their anchor, so that decoding takes linear time. */
class Decoder {
  readonly duplicates: DuplicateKey[] = [];
  readonly #lineAt: (offset: number | undefined) => number;
  /** The last definition of each anchor so far. */
  readonly #anchors = new Map<string, Anchor>();
  /** Number of values so far, with those behind aliases. */
  #values = 0;

  constructor(lineAt: (offset: number | undefined) => number) {
    this.#lineAt = lineAt;
  }

  /** @throws YamlError */
  decode(node: unknown): unknown {
    if (isAlias(node)) return this.#resolve(node.source, node);
    if (++this.#values > MAX_VALUES) throw this.#tooManyValues(node);
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return null;
    if (node.anchor === undefined) return this.#contentsOf(node);
    const anchor: Anchor = { decoded: undefined };
    this.#anchors.set(node.anchor, anchor);
    const before = this.#values;
    const value = this.#contentsOf(node);
    anchor.decoded = { value, values: this.#values - before + 1 };
    return value;
  }

  #contentsOf(node: Node): unknown {
    if (isMap(node)) return this.#mapping(node);
    if (isSeq(node)) return node.items.map((item) => this.decode(item));
    return isScalar(node) ? node.value : null;
  }

  #resolve(name: string, node: Node): unknown {
    const anchor = this.#anchors.get(name);
    if (anchor === undefined) throw this.#error(node, `the alias *${name} has no anchor before it`);
    if (anchor.decoded === undefined) throw this.#error(node, `the anchor &${name} contains itself`);
    this.#values += anchor.decoded.values;
    if (this.#values > MAX_VALUES) throw this.#tooManyValues(node);
    return anchor.decoded.value;
  }

  #mapping(map: YAMLMap): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    /** Keys of `result` that come from a merge: repeating one overrides it on purpose. */
    const merged = new Set<string>();
    for (const { key: keyNode, value } of map.items) {
      if (isMergeKey(keyNode)) {
        for (const [key, inherited] of this.#mergeSource(value, keyNode)) {
          if (!Object.hasOwn(result, key)) merged.add(key);
          // go-yaml 2 lets a merge override the keys before it. Later versions do not.
          define(result, key, inherited);
        }
        continue;
      }
      const key = this.#key(keyNode);
      if (Object.hasOwn(result, key) && !merged.delete(key)) {
        this.duplicates.push({ key, line: this.#lineAt(rangeOf(keyNode)) });
      }
      define(result, key, this.decode(value));
    }
    return result;
  }

  /** JSON has only text as keys. Kubernetes converts numbers and booleans, and rejects everything else. */
  #key(node: unknown): string {
    const key = this.decode(node);
    if (typeof key === "string") return key;
    if (typeof key === "number" || typeof key === "boolean") return String(key);
    throw this.#error(node, `a key must be text, not ${key === null ? "null" : "a list or a mapping"}`);
  }

  /** Returns the keys of a mapping, or those of a list of mappings, of which the first one counts. */
  #mergeSource(node: unknown, at: unknown): [string, unknown][] {
    const value = this.decode(node);
    // An alias to a list is rejected, as in go-yaml 2.
    const sources = isSeq(node) && Array.isArray(value) ? value.toReversed() : [value];
    return sources.flatMap((source) => {
      if (typeof source === "object" && source !== null && !Array.isArray(source)) {
        return Object.entries(source);
      }
      throw this.#error(at, "<< needs a mapping or a list of mappings");
    });
  }

  #tooManyValues(node: unknown): YamlError {
    return this.#error(node, "aliases make the document too large; repeat less, or use several documents");
  }

  #error(node: unknown, message: string): YamlError {
    return new YamlError(this.#lineAt(rangeOf(node)), message);
  }
}

interface Anchor {
  /** Undefined until the end of the anchored value. `values` counts it with everything in it. */
  decoded: { readonly value: unknown; readonly values: number } | undefined;
}

function rangeOf(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined;
}

function isMergeKey(node: unknown): boolean {
  if (!isScalar(node) || node.value !== "<<") return false;
  return node.tag === MERGE_TAG || (node.tag === undefined && node.type === Scalar.PLAIN);
}

/** Assigns without calling the setter of `__proto__`. */
function define(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== "__proto__") object[key] = value;
  else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

const MERGE_TAG = "tag:yaml.org,2002:merge";

const asNumber = (text: string): number | string => numberOf(text) ?? text;

/** Tags of go-yaml 2 (resolve.go). Order matters: the first test that matches decides. */
const tags: ScalarTag[] = [
  { tag: "tag:yaml.org,2002:null", default: true, test: /^(?:~|[Nn]ull|NULL)?$/, resolve: () => null },
  {
    tag: "tag:yaml.org,2002:bool",
    default: true,
    test: /^(?:[YyNn]|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[Tt]rue|TRUE|[Ff]alse|FALSE)$/,
    resolve: (text) => /^(?:y|on$|t)/i.test(text),
  },
  { tag: "tag:yaml.org,2002:int", default: true, test: /^[-+.\d][-+._\da-fA-FxXoO]*$/, resolve: asNumber },
  {
    tag: "tag:yaml.org,2002:float",
    default: true,
    test: /^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/,
    resolve: (text) => /nan/i.test(text) ? NaN : text.startsWith("-") ? -Infinity : Infinity,
  },
  { tag: "tag:yaml.org,2002:float", default: false, resolve: asNumber },
  {
    tag: "tag:yaml.org,2002:binary",
    default: false,
    resolve: (text) => new TextDecoder().decode(Uint8Array.fromBase64(text)),
  },
];

/** Undefined for text that only begins like a number, such as an IP address or a date. */
function numberOf(text: string): number | undefined {
  const plain = text.replaceAll("_", "");
  const integer = /^([-+]?)(?:0[xX]([\da-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+))$/.exec(plain);
  if (integer !== null) {
    const [, sign, hexadecimal, binary, octal] = integer;
    const digits = hexadecimal ?? binary ?? octal ?? "";
    const value = parseInt(digits, hexadecimal !== undefined ? 16 : binary !== undefined ? 2 : 8);
    // 0 + turns -0 into 0.
    return 0 + (sign === "-" ? -value : value);
  }
  if (!/^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(plain)) return undefined;
  const value = 0 + Number(plain);
  return Number.isFinite(value) ? value : undefined;
}

const parseOptions = {
  schema: "failsafe",
  customTags: tags,
  resolveKnownTags: false,
  merge: false,
  // The decoder looks for repeated keys itself: the parser compares every key with every other one.
  uniqueKeys: false,
  strict: true,
  prettyErrors: false,
  logLevel: "error",
} as const;

/** First line of the message. The parser recurses, so that deep nesting overflows the stack. */
function problemOf({ message }: Error): string {
  if (message.startsWith("Maximum call stack")) return "nested too deeply";
  return message.split("\n", 1)[0] ?? message;
}
