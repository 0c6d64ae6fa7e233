import assert from "node:assert/strict";
import { watchConfigFile } from "../../../core/config/watch.ts";

/** Lets `act` change a watched file with the text "a". Returns true if that ended the watch. */
async function endsAfter(act: (path: string, directory: string) => Promise<void>): Promise<boolean> {
  const directory = await Deno.makeTempDir();
  const stop = new AbortController();
  try {
    const path = `${directory}/config.yaml`;
    await Deno.writeTextFile(path, "a");
    const ended = watchConfigFile({ path, text: "a" }, stop.signal).then(() => false, (error: Error) => {
      assert.equal(error.message, "content of the proxy server's configuration file was updated");
      return true;
    });
    // The first comparison comes after a read of the file. Earlier changes count as well.
    await act(path, directory);
    const patience = setTimeout(() => stop.abort(), 300);
    return await ended.finally(() => clearTimeout(patience));
  } finally {
    stop.abort();
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a changed configuration file ends the watch", async () => {
  assert.equal(await endsAfter((path) => Deno.writeTextFile(path, "b")), true);
});

Deno.test("a configuration file replaced by renaming ends the watch", async () => {
  assert.equal(
    await endsAfter(async (path, directory) => {
      await Deno.writeTextFile(`${directory}/new`, "b");
      await Deno.rename(`${directory}/new`, path);
    }),
    true,
  );
});

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
      watchConfigFile({ path: `${directory}/config.yaml`, text: "a" }, AbortSignal.timeout(1000)),
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

Deno.test("touching or removing the file, or changing another file, does not end the watch", async () => {
  assert.equal(
    await endsAfter(async (path, directory) => {
      await Deno.writeTextFile(path, "a");
      await Deno.writeTextFile(`${directory}/other`, "b");
      await Deno.remove(path);
    }),
    false,
  );
});
