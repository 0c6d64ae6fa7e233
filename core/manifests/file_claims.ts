import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import type { Log } from "../observe/log.ts";
import type { Sink } from "../source.ts";

/** A file defines an object in this version. */
export interface Claim {
  readonly ref: ObjectRef;
  /** Fingerprint of the version. */
  readonly version: number;
}

/** Contents of a file. Objects are keyed by describeRef: "Service default/web". */
export interface FileContents {
  readonly path: string;
  readonly claims: ReadonlyMap<string, Claim>;
  /** Objects of the documents that were parsed, i.e. changed; undefined for an object that is not proxied. */
  readonly objects: ReadonlyMap<string, ModelObject | undefined>;
}

/**
 * Decides which file's version of an object is in force: the first file in path order that defines it. Keeps names and
 * fingerprints, never objects.
 */
export class ManifestClaims {
  readonly #files = new Map<string, ReadonlyMap<string, Claim>>();
  readonly #objects = new Map<string, ObjectState>();
  #namesVersion = 0;

  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Claims of a file after its last update. */
  of(path: string): ReadonlyMap<string, Claim> | undefined {
    return this.#files.get(path);
  }

  /** Reports whether a file defines the object. */
  has(key: string): boolean {
    return this.#objects.has(key);
  }

  /** Names of the objects that each file defines. */
  *names(): Generator<[path: string, names: Iterable<string>]> {
    for (const [path, claims] of this.#files) yield [path, claims.keys()];
  }

  /** Grows whenever `names` changes. */
  get namesVersion(): number {
    return this.#namesVersion;
  }

  /**
   * Updates the sink after files changed. A file without claims is gone.
   * @returns files that now provide an object which was not among the parsed ones. The caller has to parse them in full
   * and call again. Until then the old version stays in force.
   */
  update(changes: readonly FileContents[], sink: Sink): Set<string> {
    const touched = new Set<string>();
    const parsed = new Map(changes.map((change) => [change.path, change.objects]));
    const contested = new Set<string>();
    for (const change of changes) this.#claim(change, touched, contested);
    for (const key of contested) this.#reportDuplicate(key);
    const incomplete = new Set<string>();
    const gone: string[] = [];
    for (const key of touched) {
      const state = this.#objects.get(key);
      const path = state?.claimants[0];
      if (state === undefined || path === undefined) {
        gone.push(key);
        continue;
      }
      const version = this.#files.get(path)?.get(key)?.version;
      if (version === undefined || version === state.inForce) continue;
      const objects = parsed.get(path);
      if (!objects?.has(key)) {
        incomplete.add(path);
        continue;
      }
      const object = objects.get(key);
      if (object !== undefined) sink.upsert(object);
      else sink.delete(state.ref);
      state.inForce = version;
    }
    // Deleted last, so that an object that moved to another file is never missing in between.
    for (const key of gone) {
      const state = this.#objects.get(key);
      if (state !== undefined) sink.delete(state.ref);
      this.#objects.delete(key);
    }
    return incomplete;
  }

  #claim(change: FileContents, touched: Set<string>, contested: Set<string>): void {
    const { path, claims } = change;
    const before = this.#files.get(path);
    for (const key of before?.keys() ?? []) {
      if (claims.has(key)) continue;
      this.#namesVersion++;
      touched.add(key);
      const claimants = this.#objects.get(key)?.claimants;
      claimants?.splice(claimants.indexOf(path), 1);
    }
    for (const [key, claim] of claims) {
      const state = this.#objects.get(key);
      if (!before?.has(key)) this.#namesVersion++;
      if (state === undefined) {
        this.#objects.set(key, { ref: claim.ref, inForce: undefined, claimants: [path] });
      } else if (!before?.has(key)) {
        state.claimants.push(path);
        state.claimants.sort();
        contested.add(key);
      } else if (state.inForce === claim.version) {
        continue;
      }
      touched.add(key);
    }
    if (claims.size > 0) this.#files.set(path, claims);
    else this.#files.delete(path);
  }

  #reportDuplicate(key: string): void {
    const [first, ...others] = this.#objects.get(key)?.claimants ?? [];
    if (others.length === 0) return;
    this.#log.warn(
      `${key} is defined in ${first} and again in ${others.join(", ")}; the definition in ${first} is used`,
    );
  }
}

interface ObjectState {
  readonly ref: ObjectRef;
  /** Version that the sink received last. */
  inForce: number | undefined;
  /** Paths of the files that define the object, in path order. */
  readonly claimants: string[];
}
