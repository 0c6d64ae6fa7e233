import type { ModelObject, ObjectRef } from "../objects.ts";
import { type Mapping, mapping, section, text } from "./fields.ts";
import { ownText } from "./interning.ts";

/** Parts that the parsers of all kinds share: their signature, labels, annotations and times. */

/**
 * Parses the objects of one kind. `report` takes problems that were skipped without making the object
 * useless.
 */
export type KindParser = (raw: Mapping, ref: ObjectRef, report: Report) => ModelObject | NotProxied;

/** `path` is the path of the field. */
export type Report = (path: string, problem: string) => void;

/** An object that this proxy ignores, and why. */
export interface NotProxied {
  readonly why: string;
}

/** Reads the object's labels; an object without labels has an empty mapping of them. */
export function labels<T>(raw: Mapping, read: (labels: Mapping) => T): T {
  return section(raw, "metadata", (metadata) => section(metadata, "labels", read));
}

/** Reports whether the object has the label, whatever its value. */
export function hasLabel(raw: Mapping, name: string): boolean {
  return labels(raw, (all) => Object.hasOwn(all, name));
}

/** The annotation's value as written; undefined when the object does not have the annotation. */
export function annotation(raw: Mapping, name: string): unknown {
  return section(raw, "metadata", (metadata) => mapping(metadata, "annotations"))?.[name];
}

/** The annotation's value; "" when the object does not have the annotation or its value is not a string. */
export function annotationOf(raw: Mapping, name: string): string {
  const value = annotation(raw, name);
  return typeof value === "string" ? value : "";
}

/** metadata.creationTimestamp as written; "" when it is absent or not a time. */
export function createdOf(raw: Mapping): string {
  const written = section(raw, "metadata", (metadata) => text(metadata, "creationTimestamp"));
  return timeOf(written) === 0 ? "" : ownText(written);
}

/** A time of the API (RFC 3339) in milliseconds since the epoch; 0 when the text is not a time. */
export function timeOf(written: string): number {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[-+]\d\d:\d\d)$/.test(written)) return 0;
  const time = Date.parse(written);
  return Number.isNaN(time) ? 0 : time;
}
