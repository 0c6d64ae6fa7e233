import { deepEqual, equal } from "node:assert/strict";
import { clusterAccess } from "../../../core/kube/access/access.ts";
import { ApiSource } from "../../../core/kube/api/api.ts";
import type { ClusterAccess } from "../../../core/kube/access/cluster_access.ts";
import { rawNode, type RawObject, rawService, rawSlice } from "../../core/kube/raw_objects.ts";
import { RecordingLog } from "../../core/observe/log/recording_log.ts";
import { RecordingSink } from "../../core/kube/recording_sink.ts";
import { ControlPlane } from "./control_plane.ts";

// Runs in a network namespace made by tests/integration/real_apiserver_test.ts.

/** All cases share an API server, because it takes seconds to start. */
Deno.test("a real API server", async (t) => {
  await using plane = await ControlPlane.start();
  const access = clusterAccess({ kubeconfig: plane.kubeconfig(), master: "" });
  await t.step("streams a list with bookmarks, by TLS and the token of its kubeconfig", async () => {
    await withSource(access, async ({ sink, log }) => {
      await sink.until(() => sink.isSynced, "synced", 30_000);
      // The server creates them itself soon after it is ready.
      await sink.until(() => sink.objects.has("Service default/kubernetes"), "the server's own service");
      await sink.until(() => sink.objects.has("ServiceCIDR kubernetes"), "the server's ServiceCIDR");
      deepEqual(log.matching(/^(warn|error)|in pages|cannot select/), []);
      // The other Node is not watched, nor are headless Services and those of another proxy.
      await plane.create(rawNode("here"), rawNode("elsewhere"));
      await plane.create(
        unassigned("web"),
        rawService("headless", { clusterIP: "None", clusterIPs: ["None"] }),
        labelled("others", "service.kubernetes.io/service-proxy-name"),
      );
      await plane.create(rawSlice("web-1", "web", ["10.244.0.1"]));
      await sink.until(() => sink.objects.has("EndpointSlice default/web-1"), "slice");
      await sink.until(() => sink.objects.has("Node here"), "own node");
      await sink.until(() => sink.objects.has("Service default/web"), "service");
      equal(sink.names.some((name) => /elsewhere|headless|others/.test(name)), false, sink.names.join());
      await plane.remove(rawService("web"));
      await sink.until(() => !sink.objects.has("Service default/web"), "service gone");
    });
  });
  await t.step("goes on after it was restarted, and misses nothing", async () => {
    await withSource(access, async ({ sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      await plane.stop();
      await sink.until(() => sink.problem !== undefined, "problem told");
      const before = sink.calls.length;
      await plane.start();
      await plane.create(unassigned("after"));
      await sink.until(() => sink.objects.has("Service default/after"), "event after the restart", 30_000);
      await sink.until(() => sink.problem === undefined, "connected");
      deepEqual(sink.calls.slice(before).filter((call) => call.startsWith("delete")), []);
      await plane.remove(rawService("after"));
      await sink.until(() => !sink.objects.has("Service default/after"), "deleted");
    });
  });
  await t.step("hands over 3000 slices, streamed and in pages alike", async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `many-${i}`);
    await plane.createAll(names.map((name) => rawSlice(name, "many", ["10.244.0.1"])));
    await using old = new ServerWithoutStreamedLists(access);
    const seen: string[][] = [];
    for (const server of [access.server, old.url]) {
      await withSource({ ...access, server }, async ({ sink, log }) => {
        await sink.until(() => sink.isSynced, "synced", 30_000);
        equal(log.matching(/in pages/).length > 0, server === old.url, log.lines.join("\n"));
        seen.push(sink.names);
      });
    }
    equal(seen[0]?.filter((name) => name.includes("many-")).length, names.length);
    deepEqual(seen[0], seen[1]);
  });
  await t.step("refuses a token it does not know", async () => {
    const wrong = { ...access, user: { ...access.user, token: { text: "wrong" } } };
    await withSource(wrong, async ({ sink }) => {
      await sink.until(() => /rejected the credentials/.test(sink.problem ?? ""), "401");
    });
  });
});

interface Setup {
  readonly sink: RecordingSink;
  readonly log: RecordingLog;
}

async function withSource(
  access: ClusterAccess,
  test: (setup: Setup) => Promise<void>,
): Promise<void> {
  const sink = new RecordingSink();
  const log = new RecordingLog();
  const options = {
    access,
    nodeName: "here",
    watchServiceCidrs: true,
    userAgent: "proxy/test",
    log,
  };
  const stop = new AbortController();
  const running = new ApiSource(options).run(sink, stop.signal);
  try {
    await test({ sink, log });
  } finally {
    stop.abort();
    await running;
  }
}

/** Proxy in front of the real server that rejects streaming lists. */
class ServerWithoutStreamedLists implements AsyncDisposable {
  readonly url: URL;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #client: Deno.HttpClient;

  constructor(access: ClusterAccess) {
    const { authority, server } = access;
    this.#client = Deno.createHttpClient({
      caCerts: authority && "text" in authority ? [authority.text] : [],
    });
    const forward = (request: Request) => {
      const { pathname, search, searchParams } = new URL(request.url);
      if (searchParams.has("sendInitialEvents")) return new Response("sendInitialEvents", { status: 422 });
      const { headers, signal } = request;
      return fetch(new URL(`${pathname}${search}`, server), { headers, signal, client: this.#client });
    };
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, forward);
    this.url = new URL(`http://127.0.0.1:${this.#server.addr.port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    this.#client.close();
  }
}

/** A Service whose ClusterIP the server allocates. */
function unassigned(name: string): RawObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }] },
  };
}

function labelled(name: string, label: string): RawObject {
  const service = unassigned(name);
  return { ...service, metadata: { ...service.metadata, labels: { [label]: "x" } } };
}
