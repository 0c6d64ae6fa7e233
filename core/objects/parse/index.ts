import { InvalidField, isMapping, type Mapping, section, show, text } from "./fields.ts";
import { readObjectName } from "./names.ts";
import type { ModelObject, ObjectKind, ObjectRef } from "../objects.ts";
import { parseNode } from "./node.ts";
import { parseService } from "./service.ts";
import type { KindParser, Report } from "./kind.ts";
import { parseServiceCidr } from "./service_cidr.ts";
import { parseSlice } from "./endpoint_slice.ts";
import { ownText, sharedText } from "./interning.ts";

/** Result of parsing an object of the API or of a manifest. */
export type ParsedObject =
  | { readonly object: ModelObject }
  /**
   * The object exists but is not proxied. It may have been proxied before, so this counts as a delete of
   * `ignored`.
   */
  | { readonly ignored: ObjectRef; readonly why: string }
  /** The object is of a kind that a proxy does not use; names the kind. */
  | { readonly irrelevant: string }
  /**
   * The object cannot be used. The message names kind, namespace/name, field and fix. `ref` is undefined when
   * the object's own name is wrong. The object known before under `ref` stays in use.
   */
  | { readonly invalid: string; readonly ref: ObjectRef | undefined };

/**
 * Parses one decoded JSON or YAML document. `report` receives one line per problem that was skipped
 * (docs/behaviour.md §1.4, §2). Never throws, whatever `raw` is.
 */
export function parseObject(raw: unknown, report: (problem: string) => void): ParsedObject {
  if (raw === undefined || raw === null) return { irrelevant: "an empty document" };
  if (!isMapping(raw)) {
    return invalid("", new InvalidField("", `${show(raw)} is not a Kubernetes object`));
  }
  try {
    const apiVersion = text(raw, "apiVersion");
    const kind = text(raw, "kind");
    if (kind === "") return invalid("", new InvalidField("kind", "missing"));
    const known = API_KINDS.find((one) => one.kind === kind);
    if (known === undefined) return { irrelevant: show(kind) };
    if (known.apiVersions.includes(apiVersion)) return parseObjectOfKind(known.kind, raw, report);
    if (apiVersion !== "" && groupOf(apiVersion) !== groupOf(known.apiVersions[0])) {
      return { irrelevant: `${show(kind)} of ${show(apiVersion)}` };
    }
    const problem = `${apiVersion === "" ? "missing" : show(apiVersion)}; write ${known.apiVersions[0]}`;
    return invalid(kind, new InvalidField("apiVersion", problem));
  } catch (error) {
    return invalid("", error);
  }
}

/** Like `parseObject`, for a known kind: the elements of a list of the API do not name their kind. */
export function parseObjectOfKind(
  kind: ObjectKind,
  raw: unknown,
  report: (problem: string) => void,
): ParsedObject {
  let ref: ObjectRef | undefined;
  try {
    if (!isMapping(raw)) throw new InvalidField("", `${show(raw)} is not a mapping`);
    ref = readRef(kind, raw);
    const skipped = new SkippedProblems(describeRef(ref), report);
    const parsed = apiKind(kind).parse(raw, ref, skipped.add);
    skipped.end();
    return "why" in parsed ? { ignored: ref, why: parsed.why } : { object: parsed };
  } catch (error) {
    return invalid(ref === undefined ? kind : describeRef(ref), error, ref);
  }
}

/** Identifies an object, for example of a delete event; undefined when its name is missing or invalid. */
export function refOf(kind: ObjectKind, raw: unknown): ObjectRef | undefined {
  try {
    return isMapping(raw) ? readRef(kind, raw) : undefined;
  } catch (error) {
    if (error instanceof InvalidField) return undefined;
    throw error;
  }
}

/** `Service default/web`, `Node worker-1`. */
export function describeRef(ref: ObjectRef): string {
  return ref.namespace === "" ? `${ref.kind} ${ref.name}` : `${ref.kind} ${ref.namespace}/${ref.name}`;
}

/** A message about an object without its name, for a place that names it already. */
export function withoutName(ref: ObjectRef, message: string): string {
  const name = `${describeRef(ref)}: `;
  return message.startsWith(name) ? message.slice(name.length) : message;
}

interface ApiKind {
  readonly kind: ObjectKind;
  /** The first one is suggested in messages. */
  readonly apiVersions: readonly [string, ...string[]];
  readonly namespaced: boolean;
  readonly parse: KindParser;
}

const API_KINDS: readonly ApiKind[] = [
  { kind: "Service", apiVersions: ["v1"], namespaced: true, parse: parseService },
  { kind: "EndpointSlice", apiVersions: ["discovery.k8s.io/v1"], namespaced: true, parse: parseSlice },
  { kind: "Node", apiVersions: ["v1"], namespaced: false, parse: parseNode },
  {
    kind: "ServiceCIDR",
    apiVersions: ["networking.k8s.io/v1", "networking.k8s.io/v1beta1"],
    namespaced: false,
    parse: parseServiceCidr,
  },
];

function apiKind(kind: ObjectKind): ApiKind {
  const found = API_KINDS.find((one) => one.kind === kind);
  if (found === undefined) throw new RangeError(`no parser for kind ${kind}`);
  return found;
}

/** Returns "" for the core group. */
function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

function readRef(kind: ObjectKind, raw: Mapping): ObjectRef {
  return section(raw, "metadata", (metadata) => ({
    kind,
    namespace: apiKind(kind).namespaced ? readNamespace(metadata) : "",
    name: ownText(readObjectName(metadata, "name")),
  }));
}

function readNamespace(metadata: Mapping): string {
  return text(metadata, "namespace") === "" ? "default" : sharedText(readObjectName(metadata, "namespace"));
}

function invalid(subject: string, error: unknown, ref?: ObjectRef): ParsedObject {
  if (!(error instanceof InvalidField)) throw error;
  return { invalid: [subject, error.path, error.problem].filter((part) => part !== "").join(": "), ref };
}

/** Maximum number of problems reported per object. */
const MAX_PROBLEMS = 10;

/** Reports the first problems of one object. A hostile object may have millions. */
class SkippedProblems {
  #count = 0;
  readonly #subject: string;
  readonly #report: (problem: string) => void;

  constructor(subject: string, report: (problem: string) => void) {
    this.#subject = subject;
    this.#report = report;
  }

  readonly add: Report = (path, problem) => {
    if (++this.#count <= MAX_PROBLEMS) this.#report(`${this.#subject}: ${path}: ${problem}`);
  };

  end(): void {
    const omitted = this.#count - MAX_PROBLEMS;
    if (omitted > 0) this.#report(`${this.#subject}: ${omitted} more problems`);
  }
}
