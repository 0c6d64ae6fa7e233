import { isMapping } from "../../objects/parse/fields.ts";
import type { ObjectKind, ObjectRef } from "../../objects/objects.ts";
import { describeRef, parseObjectOfKind, refOf } from "../../objects/parse/index.ts";
import type { Log } from "../../observe/log.ts";
import type { Sink } from "../../source.ts";

/**
 * Hands objects of one kind to the sink, and remembers their names, to tell after listing again which are gone.
 */
export class KnownObjects {
  /** By "namespace/name": in which listing the object was seen last. */
  readonly #seenIn = new Map<string, number>();
  /** By the same: what is wrong with objects that are used all the same, so that it is said once. */
  readonly #problems = new Map<string, readonly string[]>();
  #listing = 0;

  constructor(private readonly kind: ObjectKind, private readonly sink: Sink, private readonly log: Log) {}

  /** All that exist are about to be handed to `upsert`. */
  beginListing(): void {
    this.#listing++;
  }

  /** They have been: what was not among them is gone. */
  endListing(): void {
    for (const [key, listing] of this.#seenIn) {
      if (listing === this.#listing) continue;
      this.#delete(this.#refOf(key));
    }
  }

  /** @param raw as decoded; what is invalid is logged, and what was known of the object stays. */
  upsert(raw: unknown): void {
    const problems: string[] = [];
    const parsed = parseObjectOfKind(this.kind, raw, (problem) => problems.push(problem));
    if ("object" in parsed) {
      const key = keyOf(parsed.object);
      this.#seenIn.set(key, this.#listing);
      this.#report(key, problems);
      this.sink.upsert(parsed.object);
    } else if ("ignored" in parsed) {
      this.log.info(`${describeRef(parsed.ignored)} is not proxied: ${parsed.why}`, {}, 4);
      this.#delete(parsed.ignored);
    } else if ("invalid" in parsed) {
      this.log.error(parsed.invalid);
      const key = parsed.ref === undefined ? "" : keyOf(parsed.ref);
      if (this.#seenIn.has(key)) this.#seenIn.set(key, this.#listing);
    }
  }

  delete(raw: unknown): void {
    const ref = refOf(this.kind, raw);
    if (ref !== undefined) this.#delete(ref);
  }

  /** What has been wrong with the object before, too, is not said again with every change of it. */
  #report(key: string, problems: readonly string[]): void {
    const known = this.#problems.get(key) ?? [];
    for (const problem of problems) if (!known.includes(problem)) this.log.warn(problem);
    if (problems.length > 0) this.#problems.set(key, problems);
    else this.#problems.delete(key);
  }

  #delete(ref: ObjectRef): void {
    const key = keyOf(ref);
    this.#problems.delete(key);
    if (this.#seenIn.delete(key)) this.sink.delete(ref);
  }

  #refOf(key: string): ObjectRef {
    const slash = key.indexOf("/");
    return { kind: this.kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) };
  }
}

/** metadata.resourceVersion and metadata.annotations of a decoded object, as far as it has them. */
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
