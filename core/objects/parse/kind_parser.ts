import type { Mapping } from "./fields.ts";
import type { ModelObject, ObjectRef } from "../objects.ts";

/** Reads the objects of one kind. `report` takes what was skipped without making the object useless. */
export type KindParser = (raw: Mapping, ref: ObjectRef, report: Report) => ModelObject | NotProxied;

/** `path` is that of the field. */
export type Report = (path: string, problem: string) => void;

/** An object that is left alone, and why. */
export interface NotProxied {
  readonly why: string;
}
