import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import { describeRef, parseObject } from "../objects/parse/index.ts";
import type { Log } from "../observe/log.ts";
import type { UnusedObject } from "../source.ts";
import type { Claim, FileContents } from "./file_claims.ts";
import { documentsOf, type ManifestDocument, ManifestSyntaxError, objectsOf } from "./documents.ts";

/**
 * Parses manifest files. Remembers the fingerprint of each document and the names of its objects, so that only edited
 * documents are parsed again.
 */
export class ManifestReader {
  readonly #files = new Map<string, KnownDocuments>();
  /** Invalid objects whose names are known, by path and `describeRef`. */
  readonly #invalid = new Map<string, ReadonlyMap<string, ObjectRef>>();

  readonly #log: Log;
  readonly #listener: ReaderListener;

  constructor(log: Log, listener: ReaderListener = {}) {
    this.#log = log;
    this.#listener = listener;
  }

  /**
   * Parses a file. An invalid object keeps its version in `before`. If its name is invalid as well, any object may be
   * meant, so that all of `before` are kept.
   */
  read(path: string, text: string, options: ReadOptions): ReadFile {
    const { before, everything } = options;
    const known = this.#files.get(path);
    const documents: KnownDocuments = new Map();
    const claims = new Map<string, Claim>();
    const objects = new Map<string, ModelObject | undefined>();
    const invalid = new Map<string, ObjectRef>();
    let hasUnknown = false;
    const hold = (key: string, claim: Claim, line: number): boolean => {
      if (!claims.has(key)) return claims.set(key, claim) !== undefined;
      this.#log.warn(
        `${path}:${line}: ${key} is defined more than once in this file; the first definition is used`,
      );
      return false;
    };
    try {
      for (const document of documentsOf(text)) {
        const unchanged = everything ? undefined : known?.get(document.fingerprint);
        if (unchanged !== undefined) {
          for (const claim of unchanged) hold(describeRef(claim.ref), claim, document.line);
          documents.set(document.fingerprint, unchanged);
          continue;
        }
        const held: Claim[] = [];
        let isValid = true;
        for (const { version, line, outcome } of this.#outcomesOf(path, document)) {
          if ("ref" in outcome) {
            const claim = { ref: outcome.ref, version };
            const key = describeRef(claim.ref);
            held.push(claim);
            if (hold(key, claim, line)) objects.set(key, outcome.object);
          } else {
            isValid = false;
            const ref = outcome.invalid;
            if (ref === undefined) hasUnknown = true;
            else invalid.set(describeRef(ref), ref);
            const last = ref && before?.get(describeRef(ref));
            if (last !== undefined) hold(describeRef(last.ref), last, line);
          }
        }
        if (isValid) documents.set(document.fingerprint, held);
      }
    } catch (error) {
      if (!(error instanceof ManifestSyntaxError)) throw error;
      this.#log.error(
        `${path}:${error.line}: ${error.message}; ` +
          (options.isInForce
            ? "its last valid version stays in force"
            : "no object of this file is in force"),
      );
      return { contents: undefined, invalid: "any" };
    }
    if (hasUnknown) {
      for (const [key, claim] of before ?? []) if (!claims.has(key)) claims.set(key, claim);
    }
    this.#files.set(path, documents);
    this.#setInvalid(path, invalid);
    return { contents: { path, claims, objects }, invalid: hasUnknown ? "any" : new Set(invalid.keys()) };
  }

  forget(path: string): void {
    this.#files.delete(path);
    this.#setInvalid(path, new Map());
  }

  #setInvalid(path: string, invalid: ReadonlyMap<string, ObjectRef>): void {
    for (const [key, ref] of this.#invalid.get(path) ?? []) {
      if (!invalid.has(key)) this.#listener.corrected?.(ref);
    }
    if (invalid.size > 0) this.#invalid.set(path, invalid);
    else this.#invalid.delete(path);
  }

  *#outcomesOf(path: string, document: ManifestDocument): Generator<Outcome> {
    const raws = objectsOf(document, (line, problem) => this.#log.warn(`${path}:${line}: ${problem}`));
    for (const { value, line } of raws) {
      this.#listener.read?.(value);
      const where = `${path}:${line}`;
      const parsed = parseObject(value, (problem) => this.#log.warn(`${where}: ${problem}`));
      // All objects of a list share the fingerprint of the document as version. The sink compares objects by value
      // anyway, which costs less than a fingerprint per object.
      const version = document.fingerprint;
      if ("object" in parsed) {
        const { kind, name } = parsed.object;
        const namespace = "namespace" in parsed.object ? parsed.object.namespace : "";
        yield { version, line, outcome: { ref: { kind, namespace, name }, object: parsed.object } };
      } else if ("ignored" in parsed) {
        this.#log.info(`${where}: ${describeRef(parsed.ignored)} is not proxied: ${parsed.why}`, {}, 2);
        this.#listener.unused?.({ ref: parsed.ignored, why: parsed.why, isInvalid: false });
        yield { version, line, outcome: { ref: parsed.ignored, object: undefined } };
      } else if ("invalid" in parsed) {
        this.#log.error(`${where}: ${parsed.invalid}`);
        if (parsed.ref !== undefined) {
          this.#listener.unused?.({ ref: parsed.ref, why: parsed.invalid, isInvalid: true });
        }
        yield { version, line, outcome: { invalid: parsed.ref } };
      }
    }
  }
}

/** Receives objects besides those that are used. */
export interface ReaderListener {
  /** Each object as it was decoded. */
  read?(raw: unknown): void;
  /** Objects that exist but are not used. */
  unused?(object: UnusedObject): void;
  /** Objects that were invalid, and are valid now or gone. */
  corrected?(ref: ObjectRef): void;
}

export interface ReadOptions {
  /** Claims of the file in force. */
  readonly before: ReadonlyMap<string, Claim> | undefined;
  /** True when objects of the file are in force, maybe from an earlier process. */
  readonly isInForce: boolean;
  /** Parse unchanged documents, too. */
  readonly everything: boolean;
}

export interface ReadFile {
  /** Undefined when the file cannot be parsed, which is logged. Its previous contents stay in force then. */
  readonly contents: FileContents | undefined;
  /** Objects that the file defines in an invalid way; "any" when it cannot tell which. */
  readonly invalid: Invalid;
}

export type Invalid = "any" | ReadonlySet<string>;

/** Claims of the documents without an invalid object, by fingerprint. */
type KnownDocuments = Map<number, readonly Claim[]>;

interface Outcome {
  readonly version: number;
  readonly line: number;
  readonly outcome:
    | { readonly ref: ObjectRef; readonly object: ModelObject | undefined }
    | { readonly invalid: ObjectRef | undefined };
}
