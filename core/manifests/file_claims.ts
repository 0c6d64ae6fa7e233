import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import type { Log } from "../observe/log.ts";
import type { Sink } from "../source.ts";

/** That a file holds an object, and which version of it. */
export interface Claim {
  readonly ref: ObjectRef;
  /** Fingerprint of the version. */
  readonly version: number;
}

/** What reading one file gave. Objects are keyed by describeRef: "Service default/web". */
export interface FileContents {
  readonly path: string;
  readonly claims: ReadonlyMap<string, Claim>;
  /** Those parsed this time; documents that did not change are not parsed again. Undefined: not to be proxied. */
  readonly objects: ReadonlyMap<string, ModelObject | undefined>;
}

/**
 * Which file's version of an object is in force: the first in path order that holds it. Keeps names and
 * fingerprints, never objects.
 */
export class ManifestClaims {
  readonly #files = new Map<string, ReadonlyMap<string, Claim>>();
  readonly #objects = new Map<string, ObjectState>();

  constructor(private readonly log: Log) {}

  /** Claims of a file as last updated. */
  of(path: string): ReadonlyMap<string, Claim> | undefined {
    return this.#files.get(path);
  }

  /**
   * Tells the sink what changes when files get other contents (no claims: the file is gone).
   * @returns files that now provide an object whose version was not among the parsed ones: to be read in full and
   * handed in again. Until then the version in force stays.
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
    // Last, so that an object that moved to another file or name is never missing in between.
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
      touched.add(key);
      const claimants = this.#objects.get(key)?.claimants;
      claimants?.splice(claimants.indexOf(path), 1);
    }
    for (const [key, claim] of claims) {
      const state = this.#objects.get(key);
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
    this.log.warn(`${key} is in ${others.join(", ")} as well as in ${first}, which is the one in force`);
  }
}

interface ObjectState {
  readonly ref: ObjectRef;
  /** Version the sink was told last. */
  inForce: number | undefined;
  /** Paths of the files that hold the object, in path order. */
  readonly claimants: string[];
}
