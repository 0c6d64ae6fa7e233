import { type Mapping, mapping, section, text } from "./fields.ts";
import { ownText } from "./interning.ts";

/** Reads the object's labels; it has none when there are none. */
export function labels<T>(raw: Mapping, read: (labels: Mapping) => T): T {
  return section(raw, "metadata", (metadata) => section(metadata, "labels", read));
}

/** Whether the object has the label, whatever its value. */
export function hasLabel(raw: Mapping, name: string): boolean {
  return labels(raw, (all) => Object.hasOwn(all, name));
}

/** The annotation's value as it is written; undefined when the object has none of that name. */
export function annotation(raw: Mapping, name: string): unknown {
  return section(raw, "metadata", (metadata) => mapping(metadata, "annotations"))?.[name];
}

/** The annotation's value; "" when the object has none of that name, or none that is text. */
export function annotationOf(raw: Mapping, name: string): string {
  const value = annotation(raw, name);
  return typeof value === "string" ? value : "";
}

/** metadata.creationTimestamp as written; "" when absent or no time. */
export function createdOf(raw: Mapping): string {
  const written = section(raw, "metadata", (metadata) => text(metadata, "creationTimestamp"));
  return timeOf(written) === 0 ? "" : ownText(written);
}

/** A time of the API (RFC 3339) in milliseconds since the epoch; 0 when it is none. */
export function timeOf(written: string): number {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[-+]\d\d:\d\d)$/.test(written)) return 0;
  const time = Date.parse(written);
  return Number.isNaN(time) ? 0 : time;
}
