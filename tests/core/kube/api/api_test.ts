import { deepEqual, equal, match } from "node:assert/strict";
import { ApiSource } from "../../../../core/kube/api/api.ts";
import { formatAddress } from "../../../../core/net/address.ts";
import { anonymous } from "../../../../core/kube/access/cluster_access.ts";
import { API_TIMING } from "../../../../core/kube/api/timing.ts";
import { ApiServer } from "./api_server.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { RecordingSink } from "../recording_sink.ts";
import { rawService, rawSlice, weighed } from "../raw_objects.ts";
import {
  accessTo,
  allNames,
  deletes,
  everything,
  impatient,
  pause,
  web,
  webSlice,
  withSource,
} from "./running_source.ts";

Deno.test("all four collections are streamed as lists, and synced follows the last object", async () => {
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

Deno.test("ServiceCIDRs are not watched while the feature gate MultiCIDRServiceAllocator is off", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    equal(server.requestsFor("servicecidrs").length, 0);
    deepEqual(sink.names, allNames.filter((name) => !name.startsWith("ServiceCIDR")));
  }, { watchServiceCidrs: false });
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
  Deno.test(`a server that rejects streaming lists with ${status} is listed in pages, then watched`, async () => {
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
  }, { timing: impatient });
});

Deno.test("a list whose continue token expires starts again at once, and deletes nothing", async () => {
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

Deno.test("a server without the clusterIP selector is watched without it; headless services stay out", async () => {
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

Deno.test("lines that arrive byte by byte, with non-ASCII text, are read", async () => {
  await withSource((server) => {
    server.put({ ...web, metadata: { ...web.metadata, annotations: { note: "grüße 🚀" } } }, webSlice);
    server.behaviour.writeSize = 1;
    server.behaviour.bookmarkInterval = 60_000;
  }, async ({ sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    deepEqual(sink.names, ["EndpointSlice default/web-1", "Service default/web"]);
  });
});

Deno.test("an invalid object is logged, keeps its last valid version, and blocks no other object", async () => {
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

Deno.test("garbage on a watch ends it, and the next watch continues", async () => {
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
    await source.reload();
    equal(server.requests.length, 8, "a reload is over when everything was listed");
    await sink.until(() => server.watches === 4, "watching again");
    equal(server.requests.at(-1)?.query.get("sendInitialEvents"), "true");
    deepEqual(deletes(sink), []);
  });
});

Deno.test("an abort ends the source at once", async () => {
  await using server = new ApiServer();
  everything(server);
  for (const hang of [false, true]) {
    server.behaviour.hang = hang;
    const sink = new RecordingSink();
    const stop = new AbortController();
    const options = {
      access: accessTo(server),
      nodeName: "",
      watchServiceCidrs: true,
      userAgent: "x",
      log: new RecordingLog(),
    };
    const running = new ApiSource({ ...options, timing: API_TIMING }).run(sink, stop.signal);
    await pause(50);
    const start = performance.now();
    stop.abort();
    await running;
    equal(performance.now() - start < 100, true);
  }
});

Deno.test("a rotated token file is used from the next request on; a stale token gets 401", async () => {
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
    match(sink.problem ?? "", /rejected the credentials \(401: Unauthorized\)/);
    Deno.writeTextFileSync(file, "new\n");
    await sink.until(() => sink.problem === undefined && server.watches === 4, "accepted");
  }, { access });
  Deno.removeSync(file);
});

Deno.test("a change of only an annotation is passed on", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    const weightOf = (name: string) => {
      const object = sink.objects.get(name);
      return object !== undefined && "weight" in object ? object.weight : undefined;
    };
    server.put(weighed(web, "7"), weighed(webSlice, "0"));
    await sink.until(() => weightOf("EndpointSlice default/web-1") === 0, "the weight of the slice");
    await sink.until(() => weightOf("Service default/web") === 7, "the weight of the Service");
    server.put(webSlice);
    await sink.until(() => weightOf("EndpointSlice default/web-1") === undefined, "the slice without");
  });
});

Deno.test("a problem in an object is logged once, however often the object changes", async () => {
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
