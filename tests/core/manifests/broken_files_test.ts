import { deepEqual, equal, match } from "node:assert/strict";
import { rawService } from "../kube/raw_objects.ts";
import { type Directory, pause, port, portOf, withDirectory, withManifests } from "./manifest_directory.ts";

Deno.test("a file that cannot be read for a while keeps its last valid version, and is read later", async () => {
  await withManifests({ "a.yaml": [rawService("web")] }, async ({ directory, sink, log, write, faults }) => {
    faults.set(`${directory}/a.yaml`, new Error("Input/output error (os error 5)"));
    write("a.yaml", rawService("web", port(81)));
    write("b.yaml", rawService("other"));
    await sink.until(() => sink.objects.has("Service default/other"), "other");
    write("b.yaml", rawService("other", port(81)));
    await sink.until(() => portOf(sink, "other") === 81, "other again");
    equal(portOf(sink, "web"), 80);
    deepEqual(log.matching(/^error/), [
      "error: a.yaml: cannot be read: Input/output error (os error 5); its last valid version stays in force, " +
      "and reading is tried again",
    ]);
    faults.clear();
    // Nothing names a.yaml any more.
    write("b.yaml", rawService("other", port(82)));
    await sink.until(() => portOf(sink, "web") === 81, "read again");
  });
});

Deno.test("a subdirectory or a file that cannot be read does not stop the others, and keeps its objects", async () => {
  await withManifests({ "a.yaml": [rawService("a")] }, async ({ directory, sink, log, write, faults }) => {
    Deno.mkdirSync(`${directory}/team`);
    write("team/web.yaml", rawService("web"));
    write("link.yaml", rawService("link"));
    await sink.until(() => sink.objects.size === 3, "all");
    faults.set(`${directory}/team`, new Deno.errors.PermissionDenied("Permission denied (os error 13)"));
    faults.set(`stat ${directory}/link.yaml`, new Error("Stale file handle (os error 116)"));
    write("a.yaml", rawService("a", port(81)));
    await sink.until(() => portOf(sink, "a") === 81, "a");
    deepEqual(sink.names, ["Service default/a", "Service default/link", "Service default/web"]);
    match(log.matching(/^error/).join("\n"), /link\.yaml: cannot be read: Stale file handle/);
    match(
      log.matching(/^error/).join("\n"),
      /team\/: cannot be read: Permission denied.*of its files stay in force/,
    );
    faults.clear();
    Deno.removeSync(`${directory}/team/web.yaml`);
    await sink.until(() => !sink.objects.has("Service default/web"), "removed when it is readable");
  });
});

Deno.test("a file that becomes empty keeps its last valid version; one with a comment only does not", async () => {
  await withManifests({ "a.yaml": [rawService("web")], "b.yaml": [] }, async ({ sink, log, write }) => {
    deepEqual(log.matching(/^(error|warn)/), []);
    write("a.yaml", "");
    await sink.until(() => log.matching(/^error/).length > 0, "error logged");
    match(log.matching(/^error/).join(), /a\.yaml: is empty; its last valid version stays in force/);
    deepEqual(sink.names, ["Service default/web"]);
    write("a.yaml", rawService("web", port(81)));
    await sink.until(() => portOf(sink, "web") === 81, "written again");
    write("a.yaml", "# nothing");
    await sink.until(() => sink.objects.size === 0, "removed");
  });
});

Deno.test("an object that cannot be identified keeps all objects of its file", async () => {
  await withManifests({ "a.yaml": [rawService("web"), rawService("api")] }, async ({ sink, log, write }) => {
    write("a.yaml", rawService("web", port(81)), "kind: Service\napiVersion: v1");
    await sink.until(() => portOf(sink, "web") === 81, "web");
    deepEqual(sink.names, ["Service default/api", "Service default/web"]);
    equal(log.matching(/^error/).length, 1);
    write("a.yaml", rawService("web", port(82)));
    await sink.until(() => portOf(sink, "web") === 82 && sink.objects.size === 1, "corrected");
  });
});

/** Problems of a.yaml at a restart, and their corrections. */
const brokenStarts: Record<string, {
  readonly damage: (directory: Directory) => void;
  readonly repair?: (directory: Directory) => void;
}> = {
  "a syntax error": { damage: ({ write }) => write("a.yaml", "kind: [") },
  "an empty file": { damage: ({ write }) => write("a.yaml", "") },
  "an invalid object": {
    damage: ({ write }) => write("a.yaml", rawService("web", port(123456)), rawService("api")),
  },
  "an object without a name": {
    damage: ({ write }) => write("a.yaml", rawService("api"), "kind: Service\napiVersion: v1"),
  },
  "a read error": {
    damage: ({ directory, faults }) => faults.set(`${directory}/a.yaml`, new Error("Input/output error")),
    repair: ({ faults }) => faults.clear(),
  },
  "a file that cannot be looked at": {
    damage: ({ directory, faults }) => faults.set(`stat ${directory}/a.yaml`, new Error("Stale file handle")),
    repair: ({ faults }) => faults.clear(),
  },
  "a directory that cannot be listed": {
    damage: ({ directory, faults }) => faults.set(directory, new Error("Input/output error")),
    repair: ({ faults }) => faults.clear(),
  },
};

for (const [name, { damage, repair }] of Object.entries(brokenStarts)) {
  Deno.test(`a restart with ${name} is not synced until it is corrected`, async () => {
    await withDirectory({ "a.yaml": [rawService("web"), rawService("api")] }, async (directory) => {
      const { run, write } = directory;
      await run(({ sink }) => sink.until(() => sink.isSynced, "synced").then(() => {}));
      damage(directory);
      await run(async ({ sink, log }) => {
        write("b.yaml", rawService("other"));
        await sink.until(() => sink.problem !== undefined, "problem");
        match(log.matching(/^error/).join("\n"), /nothing is programmed, and the kernel stays as it is/);
        await pause(50);
        equal(sink.isSynced, false);
        repair?.(directory);
        write("a.yaml", rawService("web", port(81)), rawService("api"));
        await sink.until(() => sink.isSynced, "synced");
        equal(sink.problem, undefined);
        deepEqual(sink.names, ["Service default/api", "Service default/other", "Service default/web"]);
      });
    });
  });
}

Deno.test("a restart with a broken file is synced when the file is removed, or was never valid", async () => {
  await withDirectory(
    { "a.yaml": [rawService("web")], "bad.yaml": ["kind: ["] },
    async ({ run, write, directory }) => {
      await run(async ({ sink, log }) => {
        await sink.until(() => sink.isSynced, "synced with a file that was never valid");
        match(log.matching(/^error/).join(), /bad\.yaml:1: .*; no object of this file is in force/);
      });
      await run(({ sink }) => sink.until(() => sink.isSynced, "synced again").then(() => {}));
      write("a.yaml", "kind: [");
      await run(async ({ sink, log }) => {
        match(
          log.matching(/^error/).join("\n"),
          /a\.yaml is broken or cannot be read, and Service default\/web of it may be in force; correct or remove it/,
        );
        equal(sink.isSynced, false);
        Deno.removeSync(`${directory}/a.yaml`);
        await sink.until(() => sink.isSynced, "synced");
      });
    },
  );
});

Deno.test("a restart with a broken file is synced when another file defines its objects", async () => {
  await withDirectory({ "a.yaml": [rawService("web")] }, async ({ run, write }) => {
    await run(({ sink }) => sink.until(() => sink.isSynced, "synced").then(() => {}));
    write("a.yaml", "kind: [");
    write("b.yaml", rawService("web"));
    await run(({ sink }) => sink.until(() => sink.isSynced, "synced").then(() => {}));
  });
});

Deno.test("a restart knows the objects that were added while the process ran", async () => {
  await withDirectory({}, async ({ run, write }) => {
    await run(async ({ sink }) => {
      await sink.until(() => sink.isSynced, "synced");
      write("a.yaml", rawService("web"));
      await sink.until(() => sink.objects.size === 1, "web");
    });
    write("a.yaml", "kind: [");
    await run(async ({ sink }) => {
      await pause(50);
      equal(sink.isSynced, false);
    });
  });
});
