import { InvalidField, isMapping, type Mapping, section, show, text } from "./fields.ts";
import { readObjectName } from "./names.ts";
import type { ModelObject, ObjectKind, ObjectRef } from "../objects.ts";
import { parseNode } from "./node.ts";
import { parseService } from "./service.ts";
import type { KindParser, Report } from "./kind.ts";
import { parseServiceCidr } from "./service_cidr.ts";
import { parseSlice } from "./endpoint_slice.ts";
import { ownText, sharedText } from "./interning.ts";

/** What an object of the API, or of a manifest, means to this node. */
export type ParsedObject =
  | { readonly object: ModelObject }
  /** It exists and is not proxied. It may have been before, so this is a delete of `ignored`. */
  | { readonly ignored: ObjectRef; readonly why: string }
  /** Of a kind that a proxy has no use for; says which. */
  | { readonly irrelevant: string }
  /**
   * Cannot be used. Names kind, namespace/name, field and fix; `ref` is undefined when the object's own name is
   * what is wrong. Whatever was known of `ref` before stays in force.
   */
  | { readonly invalid: string; readonly ref: ObjectRef | undefined };

/**
 * Reads one decoded JSON or YAML document. `report` is called with one line a problem that was skipped over
 * (docs/behaviour.md §1.4, §2). Never throws, whatever `raw` is.
 */
export function parseObject(raw: unknown, report: (problem: string) => void): ParsedObject {
  if (raw === undefined || raw === null) return { irrelevant: "an empty document" };
  if (!isMapping(raw)) {
    return invalid("", new InvalidField("", `${show(raw)} is not an object of Kubernetes`));
  }
  try {
    const apiVersion = text(raw, "apiVersion");
    const kind = text(raw, "kind");
    if (kind === "") return invalid("", new InvalidField("kind", "missing"));
    const known = apiKinds.find((one) => one.kind === kind);
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

/** As `parseObject`, where the kind is known from elsewhere: the elements of a list of the API do not name it. */
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

/** Which object this is, of a delete event for example; undefined when it does not say so properly. */
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

interface ApiKind {
  readonly kind: ObjectKind;
  /** The one to write first. */
  readonly apiVersions: readonly [string, ...string[]];
  readonly namespaced: boolean;
  readonly parse: KindParser;
}

const apiKinds: readonly ApiKind[] = [
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
  const found = apiKinds.find((one) => one.kind === kind);
  if (found === undefined) throw new RangeError(`no parser for kind ${kind}`);
  return found;
}

/** "" for the core group. */
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

/** Reports the first problems of one object; a hostile one may have millions. */
class SkippedProblems {
  static readonly most = 10;
  #count = 0;
  readonly #subject: string;
  readonly #report: (problem: string) => void;

  constructor(subject: string, report: (problem: string) => void) {
    this.#subject = subject;
    this.#report = report;
  }

  readonly add: Report = (path, problem) => {
    if (++this.#count <= SkippedProblems.most) this.#report(`${this.#subject}: ${path}: ${problem}`);
  };

  end(): void {
    const unsaid = this.#count - SkippedProblems.most;
    if (unsaid > 0) this.#report(`${this.#subject}: ${unsaid} more such problems`);
  }
}
