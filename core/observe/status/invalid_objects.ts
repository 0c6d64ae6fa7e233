import type { ObjectRef } from "../../objects/objects.ts";
import { describeRef, withoutName } from "../../objects/parse/index.ts";
import { shortened } from "./events.ts";

/** An object that exists and cannot be used. If an earlier version of it was valid, that one stays in force. */
export interface InvalidObject {
  /** "Service default/web" */
  readonly object: string;
  /** "spec.ports: missing; a Service needs at least one" */
  readonly reason: string;
  /** RFC 3339: since when it is invalid, for whatever reason. */
  readonly since: string;
}

/** Others are counted. */
const MAX_KEPT = 1000;

/** The objects that are invalid now, in bounded memory. */
export class InvalidObjects {
  /** Undefined for an object that is only counted. */
  readonly #objects = new Map<string, InvalidObject | undefined>();

  add(ref: ObjectRef, why: string, since: string): void {
    const object = describeRef(ref);
    const known = this.#objects.get(object);
    const isKept = known !== undefined || this.#objects.size < MAX_KEPT;
    const reason = shortened(withoutName(ref, why));
    this.#objects.set(object, isKept ? { object, reason, since: known?.since ?? since } : undefined);
  }

  /** The object is valid again, or gone. */
  remove(ref: ObjectRef): void {
    this.#objects.delete(describeRef(ref));
  }

  /** Why an object is invalid; undefined if it is valid, or only counted. */
  reasonOf(ref: ObjectRef): string | undefined {
    return this.#objects.get(describeRef(ref))?.reason;
  }

  get total(): number {
    return this.#objects.size;
  }

  /** The first ones that became invalid. */
  first(count: number): readonly InvalidObject[] {
    return [...this.#objects.values().filter((object) => object !== undefined).take(count)];
  }
}
