import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { ManifestSource } from "../../../core/manifests/source.ts";
import { slowness } from "../../lab/pace.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { RecordingSink } from "../kube/recording_sink.ts";
import { rawNode, type RawObject, rawService, rawSlice, weighed } from "../kube/raw_objects.ts";
import { pause, port, portOf, type Setup, text, withManifests } from "./manifest_directory.ts";

/** Far below the interval of polling. Idle machines take some 10 ms. */
const AT_ONCE_MS = 500 * slowness;

Deno.test("the initial objects are passed on before synced", async () => {
  await withManifests({
    "a.yaml": [rawService("web"), rawSlice("web-1", "web", ["10.0.0.1"])],
    "b.json": [JSON.stringify({ apiVersion: "v1", kind: "List", items: [rawService("api"), rawNode("n1")] })],
    "c.yml": ["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}"],
    "ignored.txt": ["{"],
    ".hidden.yaml": ["{"],
  }, ({ sink, log }) => {
    deepEqual(sink.calls, [
      "connected: yes",
      "upsert Service default/web",
      "upsert EndpointSlice default/web-1",
      "upsert Service default/api",
      "upsert Node n1",
      "synced",
    ]);
    deepEqual(log.matching(/^(error|warn)/), []);
    return Promise.resolve();
  });
});

Deno.test("a manifest is read as kubectl reads it: YAML 1.1, merge keys, the last value of a repeated key", async () => {
  const manifest = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.10
  ports: [{name: http, port: 80, port: 0120, targetPort: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- &e
  addresses: [10.244.1.11]
  nodeName: here
  conditions: {ready: no}
- <<: *e
  addresses: [10.244.1.12]
  conditions: {ready: yes}
`;
  await withManifests({ "a.yaml": [manifest] }, ({ sink, log }) => {
    equal(portOf(sink, "web"), 80);
    const slice = sink.objects.get("EndpointSlice default/web-1");
    deepEqual(
      slice?.kind === "EndpointSlice" && slice.endpoints.map(({ traits }) => [traits.nodeName, traits.ready]),
      [["here", false], ["here", true]],
    );
    deepEqual(log.matching(/^(error|warn)/), [
      'warn: a.yaml:6: the key "port" is repeated; the last value counts',
    ]);
    return Promise.resolve();
  });
});

Deno.test("subdirectories are read, hidden ones are not", async () => {
  await withManifests({}, async ({ directory, sink, write }) => {
    Deno.mkdirSync(`${directory}/.git`);
    write(".git/a.yaml", rawService("hidden"));
    Deno.mkdirSync(`${directory}/team/shop`, { recursive: true });
    write("team/shop/a.yaml", rawService("shop"));
    await sink.until(() => sink.objects.size > 0, "shop");
    deepEqual(sink.names, ["Service default/shop"]);
  });
});

Deno.test("a missing directory is a clear error", async () => {
  const source = new ManifestSource({
    directory: "/nonexistent/dir",
    record: { folder: "/nonexistent/record", isWritten: true },
    log: new RecordingLog(),
  });
  await rejects(
    source.run(new RecordingSink(), new AbortController().signal),
    /\/nonexistent\/dir: no such dir/,
  );
});

const waysToChange: Record<string, (setup: Setup) => void> = {
  "a save in place": ({ write }) => write("a.yaml", rawService("web", port(81))),
  "a rename over the file": ({ directory, write }) => {
    write(".a.tmp", rawService("web", port(81)));
    Deno.renameSync(`${directory}/.a.tmp`, `${directory}/a.yaml`);
  },
  "a save followed by a change of mode, as editors do": ({ directory, write }) => {
    write("a.yaml", rawService("web", port(81)));
    Deno.chmodSync(`${directory}/a.yaml`, 0o600);
    Deno.utimeSync(`${directory}/a.yaml`, 1e9, 1e9);
  },
  "a removal and a new file": ({ directory, write }) => {
    Deno.removeSync(`${directory}/a.yaml`);
    write("b.yaml", rawService("web", port(81)));
  },
  "the directory made again": ({ directory, write }) => {
    Deno.renameSync(directory, `${directory}.old`);
    Deno.mkdirSync(directory);
    write("a.yaml", rawService("web", port(81)));
  },
  "another directory renamed into its place": ({ directory }) => {
    Deno.mkdirSync(`${directory}.new`);
    Deno.writeTextFileSync(`${directory}.new/a.yaml`, text(rawService("web", port(81))));
    Deno.renameSync(directory, `${directory}.old`);
    Deno.renameSync(`${directory}.new`, directory);
  },
};

for (const [name, change] of Object.entries(waysToChange)) {
  Deno.test(`${name} is applied at once, and never deletes the object`, async () => {
    await withManifests({ "a.yaml": [rawService("web", port(80))] }, async (setup) => {
      const { sink } = setup;
      await pause(30);
      change(setup);
      const took = await sink.until(() => portOf(sink, "web") === 81, "port 81");
      equal(took < AT_ONCE_MS, true, `${took} ms`);
      deepEqual(sink.calls.filter((call) => call.startsWith("delete")), []);
      // Once more, to see that it is still watched.
      setup.write("z.yaml", rawService("other"));
      equal(await sink.until(() => sink.objects.has("Service default/other"), "other") < AT_ONCE_MS, true);
    });
  });
}

Deno.test("a removal is applied at once", async () => {
  await withManifests({ "a.yaml": [rawService("web"), rawService("api")] }, async ({ directory, sink }) => {
    await pause(30);
    Deno.removeSync(`${directory}/a.yaml`);
    const took = await sink.until(() => sink.objects.size === 0, "nothing left");
    equal(took < AT_ONCE_MS, true, `${took} ms`);
  });
});

Deno.test("replacing ..data of a mounted ConfigMap is one change", async () => {
  await withManifests({}, async ({ directory, sink, write }) => {
    const version = (number: number) => {
      Deno.mkdirSync(`${directory}/..v${number}`);
      write(`..v${number}/web.yaml`, rawService("web", port(number)));
      Deno.symlinkSync(`..v${number}`, `${directory}/..data_tmp`);
      Deno.renameSync(`${directory}/..data_tmp`, `${directory}/..data`);
    };
    version(1);
    Deno.symlinkSync("..data/web.yaml", `${directory}/web.yaml`);
    await sink.until(() => portOf(sink, "web") === 1, "first version");
    version(2);
    equal(await sink.until(() => portOf(sink, "web") === 2, "second version") < AT_ONCE_MS, true);
    deepEqual(sink.calls.filter((call) => call.startsWith("delete")), []);
  });
});

Deno.test("a directory behind a symbolic link is watched, and followed when the link changes", async () => {
  const parent = Deno.makeTempDirSync();
  for (const number of [1, 2]) {
    Deno.mkdirSync(`${parent}/v${number}`);
    Deno.writeTextFileSync(`${parent}/v${number}/web.yaml`, text(rawService("web", port(number))));
  }
  Deno.symlinkSync("v1", `${parent}/current`);
  const sink = new RecordingSink();
  const stop = new AbortController();
  const running = new ManifestSource({
    directory: `${parent}/current`,
    record: { folder: `${parent}/record`, isWritten: true },
    log: new RecordingLog(),
  }).run(sink, stop.signal);
  Deno.writeTextFileSync(`${parent}/v1/web.yaml`, text(rawService("web", port(11))));
  equal(await sink.until(() => portOf(sink, "web") === 11, "save behind the link") < AT_ONCE_MS, true);
  Deno.symlinkSync("v2", `${parent}/next`);
  Deno.renameSync(`${parent}/next`, `${parent}/current`);
  equal(await sink.until(() => portOf(sink, "web") === 2, "link moved") < AT_ONCE_MS, true);
  stop.abort();
  await running;
  Deno.removeSync(parent, { recursive: true });
});

Deno.test("a file that is still being written is not read", async () => {
  await withManifests({ "a.yaml": [rawService("web"), rawService("api")] }, async (setup) => {
    const { directory, sink, write } = setup;
    const file = Deno.openSync(`${directory}/a.yaml`, { write: true, truncate: true });
    await pause(150);
    // Another file may change meanwhile.
    write("b.yaml", rawService("other"));
    await sink.until(() => sink.objects.has("Service default/other"), "other");
    file.writeSync(new TextEncoder().encode(`${text(rawService("web", port(81)))}\n---\n`));
    await pause(150);
    equal(sink.objects.size, 3);
    equal(portOf(sink, "web"), 80);
    file.writeSync(new TextEncoder().encode(text(rawService("api", port(82)))));
    file.close();
    equal(await sink.until(() => portOf(sink, "api") === 82, "closed") < AT_ONCE_MS, true);
    deepEqual(sink.calls.filter((call) => call.startsWith("delete")), []);
  });
});

Deno.test("a file with a syntax error keeps its last valid version, and the log names the line", async () => {
  await withManifests({ "a.yaml": [rawService("web"), rawService("api")] }, async ({ sink, log, write }) => {
    write("a.yaml", rawService("web", port(81)), "kind: [");
    await sink.until(() => log.matching(/^error/).length > 0, "error logged");
    match(log.matching(/^error/)[0] ?? "", /^error: a\.yaml:\d+: .*its last valid version stays in force/);
    deepEqual(sink.names, ["Service default/api", "Service default/web"]);
    equal(portOf(sink, "web"), 80);
    write("a.yaml", rawService("web", port(82)));
    await sink.until(() => portOf(sink, "web") === 82 && sink.objects.size === 1, "repaired");
  });
});

Deno.test("an invalid object keeps its last valid version, and the rest of the file is applied", async () => {
  await withManifests({ "a.yaml": [rawService("web"), rawService("api")] }, async ({ sink, log, write }) => {
    write("a.yaml", rawService("web", port(123456)), rawService("api", port(81)));
    await sink.until(() => portOf(sink, "api") === 81, "api");
    equal(portOf(sink, "web"), 80);
    match(log.matching(/^error/).join("\n"), /^error: a\.yaml:1: Service default\/web: .*123456/);
    write("a.yaml", rawService("api", port(81)));
    await sink.until(() => !sink.objects.has("Service default/web"), "web gone");
  });
});

Deno.test("a Service that becomes headless is deleted, and comes back", async () => {
  await withManifests({ "a.yaml": [rawService("web")] }, async ({ sink, write }) => {
    write("a.yaml", rawService("web", { clusterIP: "None", clusterIPs: ["None"] }));
    await sink.until(() => sink.objects.size === 0, "withdrawn");
    write("a.yaml", rawService("web"));
    await sink.until(() => sink.objects.size === 1, "back");
  });
});

Deno.test("if two files define an object, the first in path order is used until the object disappears there", async () => {
  await withManifests({ "b.yaml": [rawService("web", port(2))] }, async ({ directory, sink, log, write }) => {
    write("a.yaml", rawService("web", port(1)));
    await sink.until(() => portOf(sink, "web") === 1, "the first takes over");
    match(log.matching(/^warn/).join(), /Service default\/web is defined in a\.yaml and again in b\.yaml/);
    write("b.yaml", rawService("web", port(22)));
    await pause(60);
    equal(portOf(sink, "web"), 1);
    Deno.removeSync(`${directory}/a.yaml`);
    equal(await sink.until(() => portOf(sink, "web") === 22, "the second takes over") < AT_ONCE_MS, true);
    deepEqual(sink.calls.filter((call) => call.startsWith("delete")), []);
  });
});

Deno.test("if a file defines an object twice, the first definition is used", async () => {
  await withManifests(
    { "a.yaml": [rawService("web", port(1)), rawService("web", port(2))] },
    async (setup) => {
      const { sink, log, write } = setup;
      equal(portOf(sink, "web"), 1);
      match(
        log.matching(/^warn/).join(),
        /a\.yaml:\d+: Service default\/web is defined more than once in this file/,
      );
      write("a.yaml", rawService("web", port(2)));
      await sink.until(() => portOf(sink, "web") === 2, "the second remains");
    },
  );
});

Deno.test("renaming a file changes nothing", async () => {
  await withManifests({ "b.yaml": [rawService("web")] }, async ({ directory, sink, write }) => {
    const before = sink.calls.length;
    Deno.renameSync(`${directory}/b.yaml`, `${directory}/a.yaml`);
    await pause(60);
    deepEqual(sink.calls.slice(before), []);
    write("a.yaml", rawService("web", port(81)));
    await sink.until(() => portOf(sink, "web") === 81, "still watched");
  });
});

Deno.test("only changed objects are passed on", async () => {
  const many = Array.from({ length: 200 }, (_, i) => rawService(`s${i}`));
  await withManifests({ "a.yaml": many }, async ({ sink, write, source }) => {
    const before = sink.calls.length;
    write("a.yaml", ...many.with(100, rawService("s100", port(81))));
    await sink.until(() => portOf(sink, "s100") === 81, "s100");
    deepEqual(sink.calls.slice(before), ["upsert Service default/s100"]);
    source.reload();
    equal(sink.calls.length, before + 1);
  });
});

Deno.test("a changed list passes every one of its objects on, once", async () => {
  const list = (...items: RawObject[]) => JSON.stringify({ apiVersion: "v1", kind: "List", items });
  await withManifests({ "a.json": [list(rawService("a"), rawService("b"))] }, async ({ sink, write }) => {
    const before = sink.calls.length;
    write("a.json", list(rawService("a"), rawService("b", port(81))));
    await sink.until(() => portOf(sink, "b") === 81, "b");
    deepEqual(sink.calls.slice(before), ["upsert Service default/a", "upsert Service default/b"]);
  });
});

Deno.test("everything stays in force while the directory is gone", async () => {
  await withManifests({ "a.yaml": [rawService("web")] }, async ({ directory, sink, write }) => {
    Deno.renameSync(directory, `${directory}.old`);
    await sink.until(() => sink.problem !== undefined, "problem told");
    match(sink.problem ?? "", /manifest directory .* is gone/);
    deepEqual(sink.names, ["Service default/web"]);
    Deno.mkdirSync(directory);
    write("a.yaml", rawService("web"));
    await sink.until(() => sink.problem === undefined, "back");
    deepEqual(sink.names, ["Service default/web"]);
  });
});

Deno.test("reload reads files that cannot be watched", async () => {
  const elsewhere = Deno.makeTempFileSync({ suffix: ".yaml" });
  Deno.writeTextFileSync(elsewhere, text(rawService("web")));
  await withManifests({}, async ({ directory, sink, source }) => {
    Deno.symlinkSync(elsewhere, `${directory}/a.yaml`);
    source.reload();
    await sink.until(() => portOf(sink, "web") === 80, "port 80");
    Deno.writeTextFileSync(elsewhere, text(rawService("web", port(81))));
    source.reload();
    equal(await sink.until(() => portOf(sink, "web") === 81, "port 81") < AT_ONCE_MS, true);
  });
  Deno.removeSync(elsewhere);
});

Deno.test("a change of only an annotation is passed on", async () => {
  const slice = rawSlice("web-1", "web", ["10.0.0.1"]);
  await withManifests({ "a.yaml": [slice] }, async ({ sink, write }) => {
    write("a.yaml", weighed(slice, "5"));
    const weight = () => {
      const object = sink.objects.get("EndpointSlice default/web-1");
      return object?.kind === "EndpointSlice" ? object.weight : undefined;
    };
    await sink.until(() => weight() === 5, "the weight");
  });
});
