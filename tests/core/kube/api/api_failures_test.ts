import { deepEqual, equal, match } from "node:assert/strict";
import { anonymous } from "../../../../core/kube/access/cluster_access.ts";
import { ApiServer } from "./api_server.ts";
import { rawNode, rawService } from "../raw_objects.ts";
import { allNames, deletes, everything, impatient, pause, web, withSource } from "./running_source.ts";

Deno.test("a watch that ends or breaks is resumed from the last version, and the sink notices nothing", async () => {
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
  Deno.test(`410 Gone ${how} causes a new list, and objects that disappeared meanwhile are deleted`, async () => {
    await withSource((server) => {
      everything(server);
      server.put(rawService("old"), rawService("older"));
    }, async ({ server, sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      // No event is delivered while the objects are deleted and the history is compacted.
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

Deno.test("a streaming list that breaks half-way deletes nothing and starts again", async () => {
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

Deno.test("a half-open connection is detected by its silence and replaced", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    const before = server.requests.length;
    server.muteWatches();
    server.put(rawService("unheard"));
    const took = await sink.until(() => sink.objects.has("Service default/unheard"), "missed event");
    equal(took >= 250, true, `${took} ms`);
    await sink.until(
      () => server.requests.length === before + 8,
      "all reconnected, with a check of the version each",
    );
  }, { timing: impatient });
});

Deno.test("bookmarks alone keep a quiet watch alive", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced, "synced");
    await pause(700);
    equal(server.requests.length, 4);
  }, { timing: impatient });
});

Deno.test("a server that accepts connections and does not answer is reported once, and retried", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.hang = true;
  }, async ({ server, sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /no response within/);
    server.behaviour.hang = false;
    await sink.until(() => sink.isSynced, "synced");
    await sink.until(() => sink.problem === undefined, "connected");
  }, { timing: impatient });
});

Deno.test("an unreachable server is retried until it is back; what is in force stays in force", async () => {
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
    // It comes back with an older state, as after a restore, so everything is listed again.
    await using second = new ApiServer({ port });
    second.put(web, rawNode("n1"));
    await sink.until(() => sink.problem === undefined, "connected again");
    await sink.until(() => sink.objects.size === 2, "the rest is gone");
    deepEqual(sink.names, ["Node n1", "Service default/web"]);
  }, { server: first });
});

Deno.test("403 names the missing permission, and synced waits for it", async () => {
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
  Deno.test(`ServiceCIDRs answered with ${status} are optional, and requested again later`, async () => {
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

Deno.test("Retry-After of a 429 response is honoured", async () => {
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

Deno.test("retries of a failing server become rarer", async () => {
  await withSource((server) => {
    server.behaviour.refuse.set("*", { status: 500, message: "etcd is away" });
  }, async ({ server, sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /500: etcd is away/);
    await pause(600);
    // A retry every 25 ms on average and four collections; without backoff it would be thousands.
    equal(server.requests.length < 200, true, `${server.requests.length}`);
  });
});

Deno.test("a server restored from a backup is listed again, although it accepts a watch from our version", async () => {
  await withSource((server) => {
    everything(server);
    server.put(rawService("lost"));
    for (let write = 0; write < 100; write++) server.put(web);
  }, async ({ server, sink, log }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    // The backup is older than the Service "lost".
    server.remove(rawService("lost"));
    server.muteWatches();
    server.restoreVersion(server.version - 100);
    server.breakWatches();
    server.put(rawService("after"));
    await sink.until(
      () => sink.objects.has("Service default/after"),
      "an object of the restored server",
      5000,
    );
    await sink.until(
      () => !sink.objects.has("Service default/lost"),
      "what the backup lacks is deleted",
      5000,
    );
    equal(log.matching(/services: listing again, .*the server is at the older version/).length, 1);
    server.put(rawService("later"));
    await sink.until(() => sink.objects.has("Service default/later"), "later changes are followed");
  });
});

Deno.test("a watch that goes silent because the server was restored behind it is found out by its silence", async () => {
  await withSource(everything, async ({ server, sink }) => {
    await sink.until(() => sink.isSynced && server.watches === 4, "watching");
    server.muteWatches();
    server.restoreVersion(1);
    server.put(rawService("after"));
    await sink.until(() => sink.objects.has("Service default/after"), "found out", 5000);
  }, { timing: impatient });
});

Deno.test("a list that breaks off is reported, does not count as contact, and is asked for ever more rarely", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.breakLists = true;
  }, async ({ server, sink, log }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /^(services|endpointslices): /);
    await pause(1500);
    // Without backoff it would be hundreds. The delays are at most 100, 200, 400 and 800 ms.
    equal(server.requests.length <= 60, true, `${server.requests.length} requests`);
    equal(sink.calls.includes("connected: yes"), false);
    equal(log.matching(/^warn: .*services: /).length, 1);
    server.behaviour.breakLists = false;
    await sink.until(() => sink.isSynced && sink.problem === undefined, "synced");
  }, { timing: { firstRetryMs: 100, maxRetryMs: 1000 } });
});

Deno.test("a server whose watches end at once is reported, and asked ever more rarely", async () => {
  await withSource((server) => {
    everything(server);
    server.behaviour.refuseStreamedLists = 422;
    server.behaviour.endWatchesAtOnce = true;
  }, async ({ server, sink }) => {
    await sink.until(() => /the watch ended at once/.test(sink.problem ?? ""), "problem told");
    await pause(1500);
    equal(server.requests.length <= 120, true, `${server.requests.length} requests`);
    server.behaviour.endWatchesAtOnce = false;
    await sink.until(() => sink.problem === undefined, "connected");
  }, { timing: { firstRetryMs: 100, maxRetryMs: 1000 } });
});

for (
  const webPage of [
    { type: "text/html", body: "<html>login</html>" },
    { type: "application/json", body: "<html>login</html>" },
    { type: "application/json", body: "<html>login</html>\n" },
    { type: "application/json", body: "{}" },
    { type: "application/json", body: "" },
  ]
) {
  Deno.test(`a web page instead of an API server is no contact: ${JSON.stringify(webPage)}`, async () => {
    await withSource((server) => {
      everything(server);
      server.behaviour.webPage = webPage;
    }, async ({ server, sink }) => {
      await sink.until(() => sink.problem !== undefined, "problem told");
      await pause(500);
      equal(sink.calls.includes("connected: yes"), false, "at the start");
      server.behaviour.webPage = undefined;
      await sink.until(() => sink.isSynced && sink.problem === undefined && server.watches === 4, "synced");
      const before = sink.calls.length;
      server.behaviour.webPage = webPage;
      server.breakWatches();
      await sink.until(() => sink.problem !== undefined, "problem told again");
      await pause(500);
      const said = sink.calls.slice(before).filter((call) => call.startsWith("connected"));
      equal(said.includes("connected: yes"), false, said.join("\n"));
      server.behaviour.webPage = undefined;
      await sink.until(() => sink.problem === undefined && server.watches === 4, "connected");
    });
  });
}

Deno.test("a token file on a dead file system is reported, and the source goes on when it is back", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "dead-" });
  const file = `${directory}/token`;
  await new Deno.Command("mkfifo", { args: [file] }).output();
  const user = { ...anonymous, token: { file } };
  await withSource(everything, async ({ sink }) => {
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /token \S+\/token: no result within 0.1 s/);
    // The pending read ends with "late". The next one must not open the FIFO again.
    const writer = await Deno.open(file, { write: true });
    Deno.removeSync(file);
    Deno.writeTextFileSync(file, "good");
    writer.writeSync(new TextEncoder().encode("late"));
    writer.close();
    await sink.until(() => sink.isSynced && sink.problem === undefined, "synced");
  }, { access: { user }, timing: { fileMs: 100 } });
  Deno.removeSync(directory, { recursive: true });
});
