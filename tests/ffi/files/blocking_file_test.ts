import assert from "node:assert/strict";

Deno.test("a read that waits for a thread keeps its path", async () => {
  const directory = await Deno.makeTempDir();
  try {
    assert.equal((await new Deno.Command("mkfifo", { args: [`${directory}/fifo`] }).output()).code, 0);
    const script = new URL("queued_reads.ts", import.meta.url).pathname;
    const v8Flags = "--v8-flags=--expose-gc,--single-threaded-gc";
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", "--quiet", v8Flags, script, directory],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    assert.equal(decoder.decode(stdout), "0 of 100 reads returned another file\n", decoder.decode(stderr));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
