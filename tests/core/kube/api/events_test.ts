import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { EventSender, type EventSenderOptions } from "../../../../core/kube/api/events.ts";
import type { ServiceWarning } from "../../../../core/source.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";

const conflict: ServiceWarning = {
  namespace: "default",
  name: "web",
  reason: "FrontendConflict",
  action: "ClaimFrontend",
  note: "192.0.2.1:80/TCP of default/web is held by default/first",
};

/** An API server that knows every Service, and keeps Events. */
class EventStore {
  readonly gets: string[] = [];
  readonly posts: string[] = [];
  readonly events = new Map<
    string,
    { [field: string]: unknown; metadata: { name: string; namespace: string } }
  >();
  readonly read: string[] = [];
  status = 201;
  hangs = false;
  hasServices = true;

  get(path: string): Promise<Response> {
    this.gets.push(path);
    const name = /metadata\.name%3D(.*)$/.exec(path)?.[1] ?? "";
    const items = this.hasServices ? [{ metadata: { uid: `uid of ${name}` } }] : [];
    return Promise.resolve(Response.json({ items }));
  }

  answerRead(method: string, bytes: number): void {
    this.read.push(`${method} ${bytes}`);
  }

  post(path: string, body: string): Promise<Response> {
    if (this.hangs) return new Promise(() => {});
    this.posts.push(path);
    if (this.status !== 201) {
      return Promise.resolve(
        Response.json({ kind: "Status", message: "not allowed" }, { status: this.status }),
      );
    }
    const event = JSON.parse(body);
    const exists = this.events.has(event.metadata.name);
    if (!exists) this.events.set(event.metadata.name, event);
    return Promise.resolve(Response.json({}, { status: exists ? 409 : 201 }));
  }
}

/** Runs a test with a sender of node "here". */
async function withSender(
  test: (setup: { store: EventStore; sender: EventSender; log: RecordingLog }) => Promise<void>,
  options: Partial<EventSenderOptions> & { store?: EventStore } = {},
): Promise<void> {
  const { store = new EventStore() } = options;
  const log = new RecordingLog();
  const sender = new EventSender({
    transport: store,
    nodeName: "here",
    timing: { answerMs: 10_000, unavailableRetryMs: 10_000 },
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    log,
    ...options,
  });
  const stop = new AbortController();
  const running = sender.run(stop.signal);
  try {
    await test({ store, sender, log });
  } finally {
    stop.abort();
    await running;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("a warning is an Event on the Service, with the uid that kubectl describe looks for", async () => {
  await withSender(async ({ store, sender }) => {
    sender.send(conflict);
    await until(() => store.events.size === 1, "sent");
    const [event] = store.events.values();
    const { metadata, ...fields } = event ?? { metadata: { name: "", namespace: "" } };
    match(metadata.name, /^web\.[0-9a-f]{16}$/);
    deepEqual(fields, {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      eventTime: "2026-01-02T03:04:05.678000Z",
      type: "Warning",
      reason: "FrontendConflict",
      action: "ClaimFrontend",
      note: conflict.note,
      regarding: { apiVersion: "v1", kind: "Service", namespace: "default", name: "web", uid: "uid of web" },
      reportingController: "kube-proxy",
      reportingInstance: "here",
    });
    deepEqual(store.gets, ["/api/v1/namespaces/default/services?fieldSelector=metadata.name%3Dweb"]);
    deepEqual(store.posts, ["/apis/events.k8s.io/v1/namespaces/default/events"]);
  });
});

Deno.test("each start of the proxy is an Event on the Node, as kube-proxy 1.37 makes it", async () => {
  let now = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  await withSender(async ({ store, sender }) => {
    sender.sendAboutNode({ reason: "Starting", action: "StartKubeProxy" });
    await until(() => store.events.size === 1, "sent");
    const [event] = store.events.values();
    const { metadata, ...fields } = event ?? { metadata: { name: "", namespace: "" } };
    match(metadata.name, /^here\.[0-9a-f]{16}$/);
    equal(metadata.namespace, "default");
    deepEqual(fields, {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      eventTime: "2026-01-02T03:04:05.678000Z",
      type: "Normal",
      reason: "Starting",
      action: "StartKubeProxy",
      regarding: { apiVersion: "v1", kind: "Node", name: "here" },
      reportingController: "kube-proxy",
      reportingInstance: "here",
    });
    deepEqual(store.gets, []);
    now++;
    sender.sendAboutNode({ reason: "Starting", action: "StartKubeProxy" });
    await until(() => store.events.size === 2, "another start has another Event");
  }, { now: () => now });
});

Deno.test("a warning is sent once, and all nodes together have one Event", async () => {
  const store = new EventStore();
  await withSender(async ({ sender, log }) => {
    for (let times = 0; times < 20; times++) sender.send(conflict);
    await until(() => store.events.size === 1, "sent");
    await withSender(async ({ sender }) => {
      sender.send(conflict);
      await until(() => store.posts.length === 2, "sent by the other node");
    }, { store, nodeName: "there" });
    equal(store.events.size, 1);
    const other = { ...conflict, note: "192.0.2.1:80/TCP of default/web is held by default/second" };
    sender.send(conflict);
    sender.send(other);
    await until(() => store.events.size === 2, "another holder is another Event");
    equal(store.posts.length, 3);
    deepEqual(log.lines, []);
    const [one, two] = store.events.keys();
    notEqual(one, two);
  }, { store });
});

Deno.test("an Event that is not allowed is no error, and others wait for the permission", async () => {
  const store = new EventStore();
  store.status = 403;
  await withSender(async ({ sender, log }) => {
    for (let index = 0; index < 10; index++) sender.send({ ...conflict, name: `web-${index}` });
    await until(() => log.lines.length === 1, "logged");
    deepEqual(log.lines, ["info: An event could not be sent"]);
    store.status = 201;
    await until(() => {
      sender.send({ ...conflict, name: "later" });
      return store.events.size > 0;
    }, "allowed");
    equal(store.posts.length - store.events.size, 1, "only the first one was tried");
  }, { store, timing: { answerMs: 10_000, unavailableRetryMs: 50 } });
});

Deno.test("a server that does not answer delays nothing but Events", async () => {
  const store = new EventStore();
  store.hangs = true;
  await withSender(async ({ sender, log }) => {
    sender.send(conflict);
    await until(() => log.lines.length === 1, "the deadline");
    store.hangs = false;
    let count = 0;
    await until(() => {
      sender.send({ ...conflict, name: `next-${count++}` });
      return store.events.size > 0;
    }, "a later one");
  }, { store, timing: { answerMs: 30, unavailableRetryMs: 50 } });
});

Deno.test("more Events than a burst are sent slowly, and those that cannot wait are dropped", async () => {
  await withSender(async ({ store, sender }) => {
    for (let index = 0; index < 1000; index++) sender.send({ ...conflict, name: `web-${index}` });
    await until(() => store.events.size === 25, "the burst");
    await new Promise((resolve) => setTimeout(resolve, 50));
    equal(store.events.size, 25);
  }, { spacingMs: 3_600_000 });
  await withSender(async ({ store, sender, log }) => {
    for (let index = 0; index < 1000; index++) sender.send({ ...conflict, name: `web-${index}` });
    await until(() => log.lines.length === 1, "all sent");
    equal(store.events.size, 100);
    deepEqual(log.lines, ["info: Events were dropped, because there were too many"]);
  }, { spacingMs: 1 });
});

Deno.test("a Service that is gone meanwhile has no Event", async () => {
  const store = new EventStore();
  store.hasServices = false;
  await withSender(async ({ sender, log }) => {
    sender.send(conflict);
    await until(() => store.gets.length === 1, "asked");
    sender.send({ ...conflict, name: "next" });
    await until(() => store.gets.length === 2, "asked for the next one");
    deepEqual([store.posts, log.lines], [[], []]);
  }, { store });
});
