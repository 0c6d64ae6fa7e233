import { isMapping } from "../../objects/parse/fields.ts";
import type { ObjectKind, ObjectRef } from "../../objects/objects.ts";
import { describeRef, parseObjectOfKind, refOf } from "../../objects/parse/index.ts";
import type { Log } from "../../observe/log.ts";
import type { Sink } from "../../source.ts";

/**
 * Passes objects of one kind to the sink, and remembers their names so that a new list shows which ones are gone.
 */
export class KnownObjects {
  /** Number of the list in which each object was seen last, by "namespace/name". */
  readonly #seenIn = new Map<string, number>();
  /** Number of the list in which each invalid object was seen last, likewise. */
  readonly #invalidIn = new Map<string, number>();
  /** Problems of objects that are used nevertheless, by "namespace/name", so that each is logged once. */
  readonly #problems = new Map<string, readonly string[]>();
  #listing = 0;

  readonly #kind: ObjectKind;
  readonly #sink: Sink;
  readonly #log: Log;

  constructor(kind: ObjectKind, sink: Sink, log: Log) {
    this.#kind = kind;
    this.#sink = sink;
    this.#log = log;
  }

  /** Starts a list: all objects that exist are about to be passed to `upsert`. */
  beginListing(): void {
    this.#listing++;
  }

  /** Ends a list: deletes the objects that were not in it. */
  endListing(): void {
    for (const [key, listing] of this.#seenIn) {
      if (listing === this.#listing) continue;
      this.#delete(this.#refOf(key));
    }
    for (const [key, listing] of this.#invalidIn) {
      if (listing !== this.#listing) this.#corrected(this.#refOf(key));
    }
  }

  /**
   * Passes an object on. An invalid object is logged, and its last valid state stays.
   * @param raw the decoded object
   */
  upsert(raw: unknown): void {
    this.#sink.read?.(raw);
    const problems: string[] = [];
    const parsed = parseObjectOfKind(this.#kind, raw, (problem) => problems.push(problem));
    if ("object" in parsed) {
      const key = keyOf(parsed.object);
      this.#seenIn.set(key, this.#listing);
      this.#corrected(parsed.object);
      this.#report(key, problems);
      this.#sink.upsert(parsed.object);
    } else if ("ignored" in parsed) {
      this.#log.info(`${describeRef(parsed.ignored)} is not proxied: ${parsed.why}`, {}, 4);
      this.#delete(parsed.ignored);
      this.#sink.unused?.({ ref: parsed.ignored, why: parsed.why, isInvalid: false });
    } else if ("invalid" in parsed) {
      this.#log.error(parsed.invalid);
      const key = parsed.ref === undefined ? "" : keyOf(parsed.ref);
      if (this.#seenIn.has(key)) this.#seenIn.set(key, this.#listing);
      if (parsed.ref !== undefined) {
        this.#invalidIn.set(key, this.#listing);
        this.#sink.unused?.({ ref: parsed.ref, why: parsed.invalid, isInvalid: true });
      }
    }
  }

  delete(raw: unknown): void {
    const ref = refOf(this.#kind, raw);
    if (ref !== undefined) this.#delete(ref);
  }

  /** Logs the problems that the previous version of the object did not have. */
  #report(key: string, problems: readonly string[]): void {
    const known = this.#problems.get(key) ?? [];
    for (const problem of problems) if (!known.includes(problem)) this.#log.warn(problem);
    if (problems.length > 0) this.#problems.set(key, problems);
    else this.#problems.delete(key);
  }

  #delete(ref: ObjectRef): void {
    const key = keyOf(ref);
    this.#problems.delete(key);
    this.#corrected(ref);
    if (this.#seenIn.delete(key)) this.#sink.delete(ref);
  }

  #corrected(object: { readonly name: string; readonly namespace?: string }): void {
    const key = keyOf(object);
    if (this.#invalidIn.delete(key)) this.#sink.corrected?.(this.#refOf(key));
  }

  #refOf(key: string): ObjectRef {
    const slash = key.indexOf("/");
    return { kind: this.#kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) };
  }
}

/** metadata.resourceVersion, continue and annotations of a decoded object or list; "" for what is missing. */
export function metadataOf(
  raw: unknown,
): { readonly resourceVersion: string; readonly continue: string; annotation(name: string): unknown } {
  const metadata = isMapping(raw) && isMapping(raw.metadata) ? raw.metadata : {};
  const annotations = isMapping(metadata.annotations) ? metadata.annotations : {};
  return {
    resourceVersion: typeof metadata.resourceVersion === "string" ? metadata.resourceVersion : "",
    continue: typeof metadata.continue === "string" ? metadata.continue : "",
    annotation: (name) => annotations[name],
  };
}

function keyOf(object: { readonly name: string; readonly namespace?: string }): string {
  return `${object.namespace ?? ""}/${object.name}`;
}
