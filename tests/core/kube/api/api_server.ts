import { Collection, matcher, type StoredEvent } from "./api_store.ts";
import type { RawObject } from "../raw_objects.ts";

/** Faults of the server. They may be changed while it runs. */
export interface ApiServerBehaviour {
  /** Status that rejects sendInitialEvents; 0 to serve streaming lists. */
  refuseStreamedLists: number;
  /** Accepts sendInitialEvents and never sends the bookmark that ends them. */
  forgetInitialEventsEnd: boolean;
  /** Supports only the field selector metadata.name, as old servers do. */
  refuseClusterIpSelector: boolean;
  /** Error responses by plural; "*" for all. */
  readonly refuse: Map<string, { status: number; message: string; headers?: Record<string, string> }>;
  /** Leaves requests without a response. */
  hang: boolean;
  /** Reports a version that is too old by 200 and an ERROR event instead of status 410. */
  expireByEvent: boolean;
  /** Bytes per write; 0 for no limit. */
  writeSize: number;
  /** Time between bookmarks, in milliseconds. */
  bookmarkInterval: number;
  /** Required bearer token; "" for none. */
  token: string;
  /** Breaks every streaming list after its first object. */
  breakLists: boolean;
  /** Ends every watch as soon as it has begun. */
  endWatchesAtOnce: boolean;
  /** Content type and body of every response; undefined to answer as an API server. */
  webPage: { readonly type: string; readonly body: string } | undefined;
  /** Answers the next request with a continue token with 410. */
  expireContinue: boolean;
}

export interface SeenRequest {
  readonly plural: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
}

const collections = {
  "/api/v1/services": ["Service", "v1"],
  "/api/v1/nodes": ["Node", "v1"],
  "/apis/discovery.k8s.io/v1/endpointslices": ["EndpointSlice", "discovery.k8s.io/v1"],
  "/apis/networking.k8s.io/v1/servicecidrs": ["ServiceCIDR", "networking.k8s.io/v1"],
} as const;

/** An API server in this process with list and watch of four collections, as in Kubernetes. */
export class ApiServer implements AsyncDisposable {
  readonly url: string;
  readonly requests: SeenRequest[] = [];
  /** Client port of every request, which tells connections apart. */
  readonly clientPorts: number[] = [];
  readonly behaviour: ApiServerBehaviour = {
    refuseStreamedLists: 0,
    forgetInitialEventsEnd: false,
    refuseClusterIpSelector: false,
    refuse: new Map(),
    hang: false,
    expireByEvent: false,
    writeSize: 0,
    bookmarkInterval: 20,
    token: "",
    expireContinue: false,
    breakLists: false,
    endWatchesAtOnce: false,
    webPage: undefined,
  };
  readonly #byPath = new Map(
    Object.entries(collections).map(([path, [kind, version]]) => [path, new Collection(kind, version)]),
  );
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #watches = new Set<Watch>();
  readonly #stopped = new AbortController();
  #version = 100;

  constructor(options: { readonly port?: number; readonly cert?: string; readonly key?: string } = {}) {
    const { port = 0, cert, key } = options;
    const address = { hostname: "127.0.0.1", port, signal: this.#stopped.signal, onListen() {} };
    const handler = (request: Request, { remoteAddr }: Deno.ServeHandlerInfo<Deno.NetAddr>) => {
      this.clientPorts.push(remoteAddr.port);
      return this.#answer(request);
    };
    this.#server = cert !== undefined && key !== undefined
      ? Deno.serve({ ...address, cert, key }, handler)
      : Deno.serve(address, handler);
    this.url = `http${cert === undefined ? "" : "s"}://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get watches(): number {
    return this.#watches.size;
  }

  put(...objects: readonly RawObject[]): void {
    for (const object of objects) this.collection(object.kind).put(object, ++this.#version);
  }

  remove(object: RawObject): void {
    this.collection(object.kind).remove(object.metadata, ++this.#version);
  }

  /** Adds an object in JSON form, which `json` makes for a version. See Collection.preload. */
  preload(kind: string, namespace: string, name: string, json: (version: number) => string): void {
    const version = ++this.#version;
    const fields = { name, labels: [], clusterIP: "" };
    this.collection(kind).preload(`${namespace}/${name}`, json(version), version, fields);
  }

  /** Forgets history: watching from an older version is answered with 410. */
  compact(): void {
    this.#version++;
    for (const collection of this.#byPath.values()) collection.compact(this.#version);
  }

  /** Sets the version back without a trace of it, as after a restore from a backup. Objects stay as they are. */
  restoreVersion(version: number): void {
    this.#version = version;
    for (const collection of this.#byPath.values()) collection.forgetHistory();
  }

  get version(): number {
    return this.#version;
  }

  /** Ends all watches, as after timeoutSeconds. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end();
  }

  /** Breaks all watches' connections. */
  breakWatches(): void {
    for (const watch of this.#watches) watch.break();
  }

  /** Silences all watches, bookmarks included, as if their connections were half-open. */
  muteWatches(): void {
    for (const watch of this.#watches) watch.isMute = true;
  }

  /** Sends raw text on all watches. */
  sendRaw(text: string): void {
    for (const watch of this.#watches) watch.write(text);
  }

  requestsFor(plural: string): SeenRequest[] {
    return this.requests.filter((request) => request.plural === plural);
  }

  collection(kind: string): Collection {
    for (const collection of this.#byPath.values()) if (collection.kind === kind) return collection;
    throw new Error(`no collection of kind ${kind}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch.break();
    this.#stopped.abort();
    await this.#server.finished;
  }

  #answer(request: Request): Response | Promise<Response> {
    const { pathname, searchParams: query } = new URL(request.url);
    const plural = pathname.slice(pathname.lastIndexOf("/") + 1);
    this.requests.push({ plural, query, headers: request.headers });
    const { behaviour } = this;
    if (behaviour.hang) return new Promise(() => {});
    if (behaviour.webPage !== undefined) {
      const { type, body } = behaviour.webPage;
      return new Response(body, { headers: { "content-type": type } });
    }
    if (behaviour.token !== "" && request.headers.get("authorization") !== `Bearer ${behaviour.token}`) {
      return refusal(401, "Unauthorized", "Unauthorized");
    }
    const refused = behaviour.refuse.get(plural) ?? behaviour.refuse.get("*");
    if (refused !== undefined) return refusal(refused.status, "", refused.message, refused.headers);
    const collection = this.#byPath.get(pathname);
    if (collection === undefined) return refusal(404, "NotFound", "the server could not find the resource");
    const fieldSelector = query.get("fieldSelector") ?? "";
    if (behaviour.refuseClusterIpSelector && fieldSelector.startsWith("spec.")) {
      return refusal(400, "BadRequest", `field label not supported: ${fieldSelector}`);
    }
    return query.get("watch") === "true" ? this.#watch(collection, query) : this.#list(collection, query);
  }

  #list(collection: Collection, query: URLSearchParams): Response {
    const matches = matcher(query.get("labelSelector") ?? "", query.get("fieldSelector") ?? "");
    const limit = Number(query.get("limit") ?? 0) || Infinity;
    const start = Number(query.get("continue") ?? 0);
    if (start > 0 && this.behaviour.expireContinue) {
      this.behaviour.expireContinue = false;
      return refusal(410, "Expired", "The provided continue parameter is too old");
    }
    const all = [...collection.objects.values()].filter((object) => matches(object.fields));
    const page = all.slice(start, start + limit);
    const next = start + limit < all.length ? `${start + limit}` : "";
    const metadata = JSON.stringify({ resourceVersion: `${this.#version}`, continue: next });
    const head =
      `{"kind":"${collection.kind}List","apiVersion":"${collection.apiVersion}","metadata":${metadata}`;
    // Items of a list have no kind, as in the real API.
    const items = page.map(({ json }) => json.replace(/^\{"apiVersion":"[^"]*","kind":"[^"]*",/, "{"));
    return new Response(`${head},"items":[${items.join(",")}]}`, { headers: json });
  }

  #watch(collection: Collection, query: URLSearchParams): Response {
    const isList = query.get("sendInitialEvents") === "true";
    if (isList && this.behaviour.refuseStreamedLists !== 0) {
      return refusal(this.behaviour.refuseStreamedLists, "Invalid", "sendInitialEvents is forbidden");
    }
    const from = Number(query.get("resourceVersion") ?? 0);
    if (!isList && from < collection.compacted) {
      const message = `too old resource version: ${from} (${collection.compacted})`;
      if (!this.behaviour.expireByEvent) return refusal(410, "Expired", message);
      return new Response(eventLine("ERROR", status(410, "Expired", message)), { headers: json });
    }
    const matches = matcher(query.get("labelSelector") ?? "", query.get("fieldSelector") ?? "");
    const watch = new Watch(this.behaviour, collection, () => this.#version, () => {
      collection.watchers.delete(tell);
      this.#watches.delete(watch);
    });
    // A real server accepts a version that it does not have yet, and is silent until it has it.
    const isAhead = !isList && from > this.#version;
    if (isAhead) watch.stopBookmarks();
    const tell = (event: StoredEvent) => {
      if (!isList && event.object.version <= from) return;
      if (matches(event.object.fields)) watch.write(eventLine(event.type, event.object.json));
    };
    if (isList) {
      for (const object of collection.objects.values()) {
        if (matches(object.fields)) watch.write(eventLine("ADDED", object.json));
        if (this.behaviour.breakLists) break;
      }
      if (this.behaviour.breakLists) {
        setTimeout(() => watch.break(), 1);
        return new Response(watch.body, { headers: json });
      }
      if (!this.behaviour.forgetInitialEventsEnd) watch.bookmark({ "k8s.io/initial-events-end": "true" });
    } else for (const event of collection.since(from)) tell(event);
    if (this.behaviour.endWatchesAtOnce && !isList) {
      watch.stopBookmarks();
      return new Response("", { headers: json });
    }
    collection.watchers.add(tell);
    this.#watches.add(watch);
    return new Response(watch.body, { headers: json });
  }
}

/** An open watch. Text is queued until the client reads it, 64 KiB at a time. */
class Watch {
  readonly body: ReadableStream<Uint8Array>;
  isMute = false;
  readonly #pending: string[] = [];
  #next = 0;
  #wake: (() => void) | undefined;
  #state: "open" | "ended" | "broken" = "open";
  readonly #bookmarks: number;

  constructor(
    private readonly behaviour: ApiServerBehaviour,
    private readonly collection: Collection,
    private readonly version: () => number,
    private readonly onClose: () => void,
  ) {
    this.#bookmarks = setInterval(() => this.bookmark(), behaviour.bookmarkInterval);
    this.body = new ReadableStream({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#close("ended"),
    }, { highWaterMark: 0 });
  }

  write(text: string): void {
    if (this.isMute) return;
    this.#pending.push(text);
    this.#wake?.();
  }

  bookmark(annotations: Record<string, string> = {}): void {
    const { kind, apiVersion } = this.collection;
    const metadata = { resourceVersion: `${this.version()}`, annotations };
    this.write(eventLine("BOOKMARK", JSON.stringify({ kind, apiVersion, metadata })));
  }

  stopBookmarks(): void {
    clearInterval(this.#bookmarks);
  }

  end(): void {
    this.#close("ended");
  }

  break(): void {
    this.#close("broken");
  }

  #close(state: "ended" | "broken"): void {
    clearInterval(this.#bookmarks);
    this.#state = state;
    this.onClose();
    this.#wake?.();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    while (this.#next === this.#pending.length && this.#state === "open") {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#state === "broken") return controller.error(new Error("broken on purpose"));
    let text = "";
    while (this.#next < this.#pending.length && text.length < 65_536) text += this.#pending[this.#next++];
    if (this.#next === this.#pending.length) {
      this.#pending.length = 0;
      this.#next = 0;
    }
    if (text === "") return controller.close();
    const bytes = new TextEncoder().encode(text);
    const size = this.behaviour.writeSize || bytes.length;
    for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
  }
}

const json = { "content-type": "application/json" };

function eventLine(type: string, object: string): string {
  return `{"type":"${type}","object":${object}}\n`;
}

function status(code: number, reason: string, message: string): string {
  return JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message });
}

function refusal(
  code: number,
  reason: string,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(status(code, reason, message), { status: code, headers: { ...json, ...headers } });
}
