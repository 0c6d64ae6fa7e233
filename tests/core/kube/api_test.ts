import { deepEqual, equal, match } from "node:assert/strict";
import { ApiSource } from "../../../core/kube/api/api.ts";
import { type ApiTiming, apiTiming } from "../../../core/kube/api/timing.ts";
import { anonymous, type ClusterAccess } from "../../../core/kube/access/cluster_access.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { ApiServer } from "./api_server.ts";
import { rawNode, rawService, rawServiceCidr, rawSlice, weighed } from "./raw_objects.ts";
import { RecordingLog } from "./recording_log.ts";
import { RecordingSink } from "./recording_sink.ts";

/** As the real one, a few hundred times faster. */
const fast: ApiTiming = {
  answer: 200,
  longestAnswer: 400,
  listSilence: 200,
  watchSilence: 300,
  quietConnection: 60_000,
  checkAnswer: 60_000,
  shortestWatch: 300_000,
  longestWatch: 600_000,
  firstRetry: 5,
  longestRetry: 50,
  unavailableRetry: 100,
};

interface Setup {
  readonly server: ApiServer;
  readonly sink: RecordingSink;
  readonly log: RecordingLog;
  readonly source: ApiSource;
}

function accessTo(server: ApiServer, more: Partial<ClusterAccess> = {}): ClusterAccess {
  return {
    origin: "a test",
    server: new URL(server.url),
    authority: undefined,
    proxyUrl: "",
    user: anonymous,
    ...more,
  };
}

/** A server that `prepare` set up, and a source that reads from it. */
async function withSource(
  prepare: (server: ApiServer) => void,
  test: (setup: Setup) => Promise<void>,
  options: { access?: Partial<ClusterAccess>; timing?: Partial<ApiTiming>; server?: ApiServer } = {},
): Promise<void> {
  await using server = options.server ?? new ApiServer();
  prepare(server);
  const sink = new RecordingSink();
  const log = new RecordingLog();
  const source = new ApiSource({
    access: accessTo(server, options.access),
    nodeName: "n1",
    userAgent: "proxy/1.2.3",
    log,
    timing: { ...fast, ...options.timing },
  });
  const stop = new AbortController();
  const running = source.run(sink, stop.signal);
  try {
    await test({ server, sink, log, source });
  } finally {
    stop.abort();
    await running;
  }
}

const web = rawService("web");
const webSlice = rawSlice("web-1", "web", ["10.0.0.1", "10.0.0.2"]);
const everything = (server: ApiServer) =>
  server.put(web, webSlice, rawNode("n1"), rawNode("n2"), rawServiceCidr("kubernetes", "10.96.0.0/16"));
const allNames = ["EndpointSlice default/web-1", "Node n1", "Service default/web", "ServiceCIDR kubernetes"];

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const deletes = (sink: RecordingSink) => sink.calls.filter((call) => call.startsWith("delete"));

Deno.test("all four collections come as streaming lists, and synced after the last object", async () => {
  await withSource(everything, async ({ server, sink, log }) => {
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(sink.names, allNames);
    equal(sink.calls.at(-1), "synced");
    equal(sink.calls.filter((call) => call === "connected: yes").length, 1);
    deepEqual(log.matching(/^(warn|error)/), []);
    for (const { query, headers } of server.requests) {
      equal(query.get("sendInitialEvents"), "true");
      equal(query.get("resourceVersionMatch"), "NotOlderThan");
      equal(query.get("allowWatchBookmarks"), "true");
      equal(Number(query.get("timeoutSeconds")) >= 300 && Number(query.get("timeoutSeconds")) <= 600, true);
      equal(headers.get("user-agent"), "proxy/1.2.3");
      equal(headers.get("accept"), "application/json");
    }
    equal(server.requestsFor("services")[0]?.query.get("fieldSelector"), "spec.clusterIP!=None");
    equal(
      server.requestsFor("services")[0]?.query.get("labelSelector"),
      "!service.kubernetes.io/service-proxy-name",
    );
    equal(
      server.requestsFor("endpointslices")[0]?.query.get("labelSelector"),
      "!service.kubernetes.io/headless",
    );
    equal(server.requestsFor("nodes")[0]?.query.get("fieldSelector"), "metadata.name=n1");
  });
});

Deno.test("events follow the list", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    server.put(rawService("api"));
    await sink.until(() => sink.objects.has("Service default/api"), "added");
    server.put(rawSlice("web-1", "web", ["10.0.0.9"]));
    await sink.until(() => sink.calls.at(-1) === "upsert EndpointSlice default/web-1", "modified");
    server.remove(web);
    await sink.until(() => !sink.objects.has("Service default/web"), "deleted");
    equal(server.requestsFor("services").length, 1);
  });
});

for (const status of [400, 422]) {
  Deno.test(`a server that refuses streaming lists with ${status} is listed in pages, then watched`, async () => {
    const many = Array.from({ length: 1201 }, (_, i) => rawService(`s${i}`));
    await withSource((server) => {
      everything(server);
      server.put(...many);
      server.behaviour.refuseStreamedLists = status;
    }, async ({ server, sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      equal(sink.objects.size, 4 + many.length);
      await sink.until(() => server.watches === 4, "watching");
      const [refused, first, second, third, watch, ...more] = server.requestsFor("services").map((
        { query },
      ) => query);
      equal(refused?.get("sendInitialEvents"), "true");
      deepEqual([first, second, third].map((query) => [query?.get("limit"), query?.get("continue")]), [
        ["500", null],
        ["500", "500"],
        ["500", "1000"],
      ]);
      equal(watch?.get("watch"), "true");
      match(watch?.get("resourceVersion") ?? "", /^\d+$/);
      equal(watch?.has("sendInitialEvents"), false);
      deepEqual(more, []);
      server.put(rawService("late"));
      await sink.until(() => sink.objects.has("Service default/late"), "late");
    });
  });
}

Deno.test("a server that never ends its initial events is listed in pages", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.forgetInitialEventsEnd = true;
    server.behaviour.bookmarkInterval = 60_000;
  }, async ({ sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(sink.names, allNames);
  });
});

Deno.test("a list whose continue token expires is listed anew at once, and nothing is taken away", async () => {
  await withSource((server) => {
    everything(server);
    server.put(...Array.from({ length: 700 }, (_, i) => rawService(`s${i}`)));
    server.behaviour.refuseStreamedLists = 422;
    server.behaviour.expireContinue = true;
  }, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    equal(sink.objects.size, 704);
    deepEqual(deletes(sink), []);
    equal(
      server.requestsFor("services").some(({ query }) => !query.has("limit") && !query.has("watch")),
      true,
    );
  });
});

Deno.test("a server without the clusterIP selector is asked without it; headless services stay out", async () => {
  await withSource((server) => {
    everything(server);
    server.put(rawService("headless", { clusterIP: "None", clusterIPs: ["None"] }));
    server.behaviour.refuseClusterIpSelector = true;
  }, async ({ sink, server }) => {
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(sink.names, allNames);
    equal(server.requestsFor("services").at(-1)?.query.get("sendInitialEvents"), "true");
  });
});

Deno.test("a watch that ends, or breaks off, is resumed from the last version, without a word to the sink", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    await pause(60);
    for (const stop of [() => server.endWatches(), () => server.breakWatches()]) {
      const before = sink.calls.length;
      stop();
      server.put(rawService("web", { ports: [{ port: 81 }] }));
      await sink.until(() => sink.calls.length > before, "change seen");
      await sink.until(() => server.watches === 4, "watching again");
      deepEqual(sink.calls.slice(before), ["upsert Service default/web"]);
      equal(server.requests.at(-1)?.query.has("sendInitialEvents"), false);
      await pause(60);
    }
  });
});

for (const how of ["as status", "as ERROR event"]) {
  Deno.test(`410 Gone ${how} lists again, and what vanished meanwhile is deleted`, async () => {
    await withSource((server) => {
      everything(server);
      server.put(rawService("old"), rawService("older"));
    }, async ({ server, sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      // Nothing gets through while the objects go away and the history with them.
      server.muteWatches();
      server.remove(rawService("old"));
      server.remove(rawService("older"));
      server.put(rawService("new"));
      server.compact();
      server.behaviour.expireByEvent = how === "as ERROR event";
      const before = sink.calls.length;
      server.endWatches();
      await sink.until(() => sink.objects.size === 5, "old ones gone");
      deepEqual(sink.names, [...allNames, "Service default/new"].sort());
      deepEqual(deletes(sink).sort(), ["delete Service default/old", "delete Service default/older"]);
      equal(sink.calls.slice(before).some((call) => call.startsWith("connected")), false);
      equal(sink.calls.filter((call) => call === "synced").length, 1);
    });
  });
}

Deno.test("a streaming list that breaks off half-way deletes nothing and is started anew", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.forgetInitialEventsEnd = true;
  }, async ({ server, sink }) => {
    await sink.until(() => sink.objects.size === 4, "objects came");
    server.behaviour.forgetInitialEventsEnd = false;
    equal(sink.isSynced, false);
    server.breakWatches();
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(deletes(sink), []);
    equal(server.requestsFor("services").at(-1)?.query.get("sendInitialEvents"), "true");
  });
});

Deno.test("a half-open connection is noticed by its silence and replaced", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    const before = server.requests.length;
    server.muteWatches();
    server.put(rawService("unheard"));
    const took = await sink.until(() => sink.objects.has("Service default/unheard"), "missed event");
    equal(took >= 250, true, `${took} ms`);
    await sink.until(() => server.requests.length === before + 4, "all reconnected");
  });
});

Deno.test("bookmarks alone keep a quiet watch alive", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    await pause(700);
    equal(server.requests.length, 4);
  });
});

Deno.test("a server that accepts connections and does not answer is a problem, told once, and asked again", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.hang = true;
  }, async ({ server, sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /no answer within/);
    server.behaviour.hang = false;
    await sink.until(() => sink.isSynced, "synced");
    await sink.until(() => sink.problem === undefined, "connected");
  });
});

Deno.test("a server that is away is tried again until it is there; what is in force stays", async () => {
  const first = new ApiServer();
  const { port } = first;
  await withSource(everything, async ({ sink, log }) => {
    await sink.until(() => sink.isSynced, "synced");
    await first[Symbol.asyncDispose]();
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /Connection refused/);
    await pause(200);
    equal(log.matching(/Connection refused/).length <= 4, true, "one line a collection, not one an attempt");
    deepEqual(sink.names, allNames);
    // It comes back with an older state, as after a restore: everything is listed again.
    await using second = new ApiServer({ port });
    second.put(web, rawNode("n1"));
    await sink.until(() => sink.problem === undefined, "connected again");
    await sink.until(() => sink.objects.size === 2, "the rest is gone");
    deepEqual(sink.names, ["Node n1", "Service default/web"]);
  }, { server: first });
});

Deno.test("403 names what has to be granted, and synced waits for it", async () => {
  await withSource((server) => {
    everything(server);
    const message = 'services is forbidden: User "x" cannot watch resource "services" in API group ""';
    server.behaviour.refuse.set("services", { status: 403, message });
  }, async ({ server, sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(
      sink.problem ?? "",
      /services: .*cannot watch.*system:node-proxier.*verbs list and watch on services/,
    );
    equal(sink.isSynced, false);
    server.behaviour.refuse.clear();
    await sink.until(() => sink.isSynced && sink.problem === undefined, "granted");
  });
});

for (const status of [403, 404]) {
  Deno.test(`ServiceCIDRs answered with ${status} are done without, and asked for again later`, async () => {
    await withSource((server) => {
      everything(server);
      server.behaviour.refuse.set("servicecidrs", { status, message: "no" });
    }, async ({ server, sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      equal(sink.problem, undefined);
      equal(server.requestsFor("servicecidrs").length, 1);
      server.behaviour.refuse.clear();
      await sink.until(() => sink.objects.has("ServiceCIDR kubernetes"), "later");
    });
  });
}

Deno.test("429 with Retry-After is obeyed", async () => {
  await withSource((server) => {
    everything(server);
    const headers = { "retry-after": "1" };
    server.behaviour.refuse.set("*", { status: 429, message: "too many requests", headers });
  }, async ({ server, sink }) => {
    await sink.until(() => server.requests.length === 4, "asked");
    server.behaviour.refuse.clear();
    const took = await sink.until(() => sink.isSynced, "synced");
    equal(took > 900, true, `${took} ms`);
    equal(server.requests.length, 8);
  });
});

Deno.test("a failing server is asked ever more rarely", async () => {
  await withSource((server) => {
    server.behaviour.refuse.set("*", { status: 500, message: "etcd is away" });
  }, async ({ server, sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /500: etcd is away/);
    await pause(600);
    // At 25 ms a retry on average and four collections; without backoff it would be thousands.
    equal(server.requests.length < 200, true, `${server.requests.length}`);
  });
});

Deno.test("lines that come byte by byte, with text beyond ASCII, are read", async () => {
  await withSource((server) => {
    server.put({ ...web, metadata: { ...web.metadata, annotations: { note: "grüße 🚀" } } }, webSlice);
    server.behaviour.writeSize = 1;
    server.behaviour.bookmarkInterval = 60_000;
  }, async ({ sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(sink.names, ["EndpointSlice default/web-1", "Service default/web"]);
  });
});

Deno.test("an invalid object is logged, keeps its last good version, and stops nothing", async () => {
  await withSource(everything, async ({ server, sink, log }) => {
    await sink.until(() => sink.isSynced, "synced");
    const before = sink.objects.get("Service default/web");
    server.put(rawService("web", { ports: [{ port: 99999999 }] }), rawService("api"));
    await sink.until(() => sink.objects.has("Service default/api"), "the next one");
    equal(sink.objects.get("Service default/web"), before);
    match(log.matching(/^error/).join(), /Service default\/web: .*99999999/);
    server.compact();
    server.muteWatches();
    server.endWatches();
    const lists = () => server.requestsFor("services").filter(({ query }) => query.has("sendInitialEvents"));
    await sink.until(() => lists().length === 2 && server.watches === 4, "listed again");
    server.put(rawService("last"));
    await sink.until(() => sink.objects.has("Service default/last"), "after the list");
    equal(sink.objects.get("Service default/web"), before);
  });
});

Deno.test("garbage on a watch ends it, and the next one goes on", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    const before = server.requests.length;
    server.sendRaw('{"type":"ADDED","object":{"metadata"\n');
    await sink.until(() => server.requests.length >= before + 4 && server.watches === 4, "watching again");
    server.put(rawService("api"));
    await sink.until(() => sink.objects.has("Service default/api"), "next event");
  });
});

Deno.test("reload lists everything again", async () => {
  await withSource(everything, async ({ server, sink, source }) => {
    await sink.until(() => sink.isSynced, "synced");
    source.reload();
    await sink.until(() => server.requests.length === 8 && server.watches === 4, "listed again");
    equal(server.requests.at(-1)?.query.get("sendInitialEvents"), "true");
    deepEqual(deletes(sink), []);
  });
});

Deno.test("it ends at once when told to", async () => {
  await using server = new ApiServer();
  everything(server);
  for (const hang of [false, true]) {
    server.behaviour.hang = hang;
    const sink = new RecordingSink();
    const stop = new AbortController();
    const options = { access: accessTo(server), nodeName: "", userAgent: "x", log: new RecordingLog() };
    const running = new ApiSource({ ...options, timing: apiTiming }).run(sink, stop.signal);
    await pause(50);
    const start = performance.now();
    stop.abort();
    await running;
    equal(performance.now() - start < 100, true);
  }
});

Deno.test("a rotated token file is used from the next request on; a stale one is answered 401", async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, "old\n");
  const access = { user: { ...anonymous, token: { file } } };
  await withSource((server) => {
    everything(server);
    server.behaviour.token = "old";
  }, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "synced");
    server.behaviour.token = "new";
    server.endWatches();
    await sink.until(() => sink.problem !== undefined, "401 told");
    match(sink.problem ?? "", /does not accept our credentials \(401: Unauthorized\)/);
    Deno.writeTextFileSync(file, "new\n");
    await sink.until(() => sink.problem === undefined && server.watches === 4, "accepted");
  }, { access });
  Deno.removeSync(file);
});

Deno.test("a change of an annotation alone is handed on", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    const weightOf = (name: string) => {
      const object = sink.objects.get(name);
      return object !== undefined && "weight" in object ? object.weight : undefined;
    };
    server.put(weighed(web, "7"), weighed(webSlice, "0"));
    await sink.until(() => weightOf("EndpointSlice default/web-1") === 0, "the weight of the slice");
    equal(weightOf("Service default/web"), 7);
    server.put(webSlice);
    await sink.until(() => weightOf("EndpointSlice default/web-1") === undefined, "the slice without");
  });
});

Deno.test("what is skipped over in an object is said once, however often the object changes", async () => {
  await withSource(everything, async ({ server, sink, log }) => {
    await sink.until(() => sink.isSynced, "synced");
    const said = () => log.matching(/proxy.weight/).length;
    const change = async (weight: string, address: string) => {
      server.put(weighed(rawSlice("web-1", "web", [address]), weight));
      const has = () => {
        const slice = sink.objects.get("EndpointSlice default/web-1");
        return slice?.kind === "EndpointSlice" &&
          slice.endpoints.some((endpoint) => formatAddress(endpoint.address) === address);
      };
      await sink.until(has, `a slice with ${address}`);
    };
    await change("heavy", "10.0.0.3");
    await change("heavy", "10.0.0.4");
    equal(said(), 1);
    match(
      log.matching(/proxy.weight/).join(),
      /^warn: EndpointSlice default\/web-1: .*"heavy" is not a weight/,
    );
    await change("heavier", "10.0.0.5");
    equal(said(), 2, "another problem");
    await change("2", "10.0.0.6");
    await change("heavier", "10.0.0.7");
    equal(said(), 3, "it was set right meanwhile");
  });
});
