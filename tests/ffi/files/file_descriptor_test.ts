import assert from "node:assert/strict";
import { O_DIRECTORY } from "../../../ffi/architecture.ts";
import { openDirectory, openFile } from "../../../ffi/files/file_descriptor.ts";
import { libc, O_CLOEXEC, O_RDONLY } from "../../../ffi/libraries/libc.ts";
import { cString } from "../../../ffi/memory.ts";

// Opens it outside of the tests, because it stays open.
libc();

Deno.test("a directory is opened as a directory, and a file is not", async () => {
  const file = await Deno.makeTempFile();
  try {
    using directory = openDirectory("/proc");
    assert(directory.fd >= 0);
    assert.throws(() => openDirectory(file), Deno.errors.NotADirectory);
    assert.throws(() => openDirectory("/proc/none"), Deno.errors.NotFound);
    using opened = openFile(file);
    assert(opened !== undefined);
    assert.equal(openFile("/proc/none"), undefined);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("O_DIRECTORY has the value of this processor: the kernel opens no file with it", async () => {
  const file = await Deno.makeTempFile();
  try {
    assert(libc().open(cString(file), O_RDONLY | O_CLOEXEC | O_DIRECTORY) < 0);
  } finally {
    await Deno.remove(file);
  }
});
