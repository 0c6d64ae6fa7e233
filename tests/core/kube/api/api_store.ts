import type { RawObject } from "../raw_objects.ts";

/** An object of the test API server, already in JSON. */
export interface Stored {
  readonly version: number;
  readonly json: string;
  readonly fields: SelectableFields;
}

/** Fields that selectors can match. */
export interface SelectableFields {
  readonly name: string;
  readonly labels: readonly string[];
  readonly clusterIP: string;
}

export interface StoredEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Stored;
}

/** One collection of the test API server: objects in memory, what happened to them, and who watches. */
export class Collection {
  readonly objects = new Map<string, Stored>();
  /** Events after `compacted`, oldest first. */
  #history: StoredEvent[] = [];
  /** Older versions cannot be watched from. */
  compacted = 0;
  readonly watchers = new Set<(event: StoredEvent) => void>();

  constructor(readonly kind: string, readonly apiVersion: string) {}

  put(object: RawObject, version: number): void {
    const key = keyOf(object.metadata);
    const type = this.objects.has(key) ? "MODIFIED" : "ADDED";
    const stored = this.#stored(object, version);
    this.objects.set(key, stored);
    this.#tell({ type, object: stored });
  }

  /** Like `put`, but faster, for many objects before the first watch. `json` includes the version. */
  preload(key: string, json: string, version: number, fields: SelectableFields): void {
    this.objects.set(key, { version, json, fields });
  }

  remove(metadata: RawObject["metadata"], version: number): void {
    const key = keyOf(metadata);
    const stored = this.objects.get(key);
    if (stored === undefined) throw new Error(`there is no ${this.kind} ${key}`);
    this.objects.delete(key);
    const last: RawObject = JSON.parse(stored.json);
    this.#tell({ type: "DELETED", object: this.#stored(last, version) });
  }

  since(version: number): readonly StoredEvent[] {
    return this.#history.filter((event) => event.object.version > version);
  }

  /** Forgets what happened, without refusing to watch from older versions. */
  forgetHistory(): void {
    this.#history = [];
  }

  compact(version: number): void {
    this.compacted = version;
    this.#history = [];
  }

  #stored(object: RawObject, version: number): Stored {
    const { labels } = object.metadata;
    const spec = object.spec;
    return {
      version,
      json: JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: `${version}` } }),
      fields: {
        name: object.metadata.name,
        labels: typeof labels === "object" && labels !== null ? Object.keys(labels) : [],
        clusterIP: typeof spec === "object" && spec !== null && "clusterIP" in spec
          ? `${spec.clusterIP}`
          : "",
      },
    };
  }

  #tell(event: StoredEvent): void {
    this.#history.push(event);
    for (const watcher of this.watchers) watcher(event);
  }
}

/** Understands `!key` for labels, `field=value` and `field!=value`; all that the source asks for. */
export function matcher(labelSelector: string, fieldSelector: string): (fields: SelectableFields) => boolean {
  const absentLabel = labelSelector.startsWith("!") ? labelSelector.slice(1) : undefined;
  const [, path, operator, value] = /^([\w.]+)(!?=)(.*)$/.exec(fieldSelector) ?? [];
  return (fields) => {
    if (absentLabel !== undefined && fields.labels.includes(absentLabel)) return false;
    if (path === undefined) return true;
    const actual = path === "metadata.name" ? fields.name : fields.clusterIP;
    return (actual === value) === (operator === "=");
  };
}

function keyOf(metadata: RawObject["metadata"]): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
