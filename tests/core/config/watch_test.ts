import assert from "node:assert/strict";
import { watchConfigFile } from "../../../core/config/watch.ts";
import { readBlockingFile } from "../../../ffi/files/blocking_file.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { silentLog } from "../observe/log/silent_log.ts";

// Opens the C library, which stays open for the life of the process.
await readBlockingFile("/dev/null");

interface Watched {
  readonly path: string;
  readonly directory: string;
}

/**
 * Lets `act` change a watched file with the text "a". Returns true if that ended the watch within `patienceMs`.
 * @param make creates the file; by default a plain one.
 */
async function endsAfter(
  act: (watched: Watched) => Promise<void>,
  patienceMs: number,
  make = ({ path }: Watched) => Deno.writeTextFile(path, "a"),
): Promise<boolean> {
  const directory = await Deno.makeTempDir();
  const stop = new AbortController();
  try {
    const watched = { path: `${directory}/config.yaml`, directory };
    await make(watched);
    const { path } = watched;
    const ended = watchConfigFile({ path, text: "a" }, silentLog, stop.signal).then(
      () => false,
      (error: Error) => {
        assert.equal(error.message, "content of the proxy server's configuration file was updated");
        return true;
      },
    );
    // The first comparison comes after a read of the file. Earlier changes count as well.
    await act(watched);
    const patience = setTimeout(() => stop.abort(), patienceMs);
    return await ended.finally(() => clearTimeout(patience));
  } finally {
    stop.abort();
    await Deno.remove(directory, { recursive: true });
  }
}

/** Less than the interval of polling, so that only an event can end the watch in this time. */
const AT_ONCE_MS = 1500;
/** More than the interval of polling. */
const SECONDS_MS = 20_000;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("a changed configuration file ends the watch at once", async () => {
  assert.equal(await endsAfter(({ path }) => Deno.writeTextFile(path, "b"), AT_ONCE_MS), true);
});

Deno.test("a configuration file replaced by renaming ends the watch at once", async () => {
  assert.equal(
    await endsAfter(async ({ path, directory }) => {
      await Deno.writeTextFile(`${directory}/new`, "b");
      await Deno.rename(`${directory}/new`, path);
    }, AT_ONCE_MS),
    true,
  );
});

/** Makes config.yaml a link to other/config.yaml, by way of the link `current` to the directory `other`. */
async function makeLinked({ path, directory }: Watched): Promise<void> {
  await Deno.mkdir(`${directory}/other`);
  await Deno.writeTextFile(`${directory}/other/config.yaml`, "a");
  await Deno.symlink("other", `${directory}/current`);
  await Deno.symlink("current/config.yaml", path);
}

const changesBehindLinks: Record<string, (watched: Watched) => Promise<void>> = {
  "written in place": ({ directory }) => Deno.writeTextFile(`${directory}/other/config.yaml`, "b"),
  "replaced by renaming": async ({ directory }) => {
    await Deno.writeTextFile(`${directory}/other/new`, "b");
    await Deno.rename(`${directory}/other/new`, `${directory}/other/config.yaml`);
  },
  "written through the link": ({ path }) => Deno.writeTextFile(path, "b"),
  "in a directory that another one replaces": async ({ directory }) => {
    await Deno.mkdir(`${directory}/next`);
    await Deno.writeTextFile(`${directory}/next/config.yaml`, "b");
    await Deno.symlink("next", `${directory}/current.new`);
    await Deno.rename(`${directory}/current.new`, `${directory}/current`);
  },
};

for (const [name, change] of Object.entries(changesBehindLinks)) {
  Deno.test(`the target of a linked configuration file, ${name}, ends the watch within seconds`, async () => {
    const act = async (watched: Watched) => {
      // After the first comparison.
      await pause(100);
      await change(watched);
    };
    assert.equal(await endsAfter(act, SECONDS_MS, makeLinked), true);
  });
}

Deno.test("a mounted ConfigMap whose data link is swapped ends the watch", async () => {
  const directory = await Deno.makeTempDir();
  try {
    for (const [version, text] of [["v1", "a"], ["v2", "b"]]) {
      await Deno.mkdir(`${directory}/${version}`);
      await Deno.writeTextFile(`${directory}/${version}/config.yaml`, String(text));
    }
    await Deno.symlink("v1", `${directory}/..data`);
    await Deno.symlink("..data/config.yaml", `${directory}/config.yaml`);
    // Await the end from the start, because it may come before the link is in place.
    const ended = assert.rejects(
      watchConfigFile(
        { path: `${directory}/config.yaml`, text: "a" },
        silentLog,
        AbortSignal.timeout(AT_ONCE_MS),
      ),
      /was updated/,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    await Deno.symlink("v2", `${directory}/..data_tmp`);
    await Deno.rename(`${directory}/..data_tmp`, `${directory}/..data`);
    await ended;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("touching, emptying or removing the file, or changing another file, does not end the watch", async () => {
  assert.equal(
    await endsAfter(async ({ path, directory }) => {
      await Deno.writeTextFile(path, "a");
      await Deno.writeTextFile(`${directory}/other`, "b");
      await Deno.writeTextFile(path, "");
      await pause(50);
      await Deno.remove(path);
    }, 2500),
    false,
  );
});

Deno.test("a directory that cannot be watched is polled", async () => {
  const parent = await Deno.makeTempDir();
  const path = `${parent}/later/config.yaml`;
  const ended = assert.rejects(
    watchConfigFile({ path, text: "a" }, silentLog, AbortSignal.timeout(SECONDS_MS)),
    /was updated/,
  );
  await Deno.mkdir(`${parent}/later`);
  await Deno.writeTextFile(path, "b");
  await ended;
  await Deno.remove(parent, { recursive: true });
});

Deno.test("a file system that does not answer blocks nothing, is reported once, and may answer again", async () => {
  const directory = await Deno.makeTempDir();
  // A FIFO without a writer cannot be opened, like a file of a dead server.
  const path = `${directory}/config.yaml`;
  assert.equal((await new Deno.Command("mkfifo", { args: [path] }).output()).code, 0);
  const log = new RecordingLog();
  const stop = new AbortController();
  const ended = watchConfigFile({ path, text: "a" }, log, stop.signal, 20).then(
    () => "",
    (error) => error.message,
  );
  const until = performance.now() + 30_000;
  while (log.lines.length === 0 && performance.now() < until) await pause(5);
  await pause(100);
  assert.deepEqual(log.lines, [
    "warn: The configuration file cannot be read, so changes are not noticed: its file system does not answer",
  ]);
  // Ends the pending read. The next one finds a plain file.
  const writer = await Deno.open(path, { write: true });
  await Deno.remove(path);
  await Deno.writeTextFile(path, "b");
  writer.close();
  assert.match(await ended, /was updated/);
  await Deno.remove(directory, { recursive: true });
});
