import assert from "node:assert/strict";

/** More than a pipe holds, and than the parent process reads ahead. */
const MORE_THAN_A_PIPE = 1_000_000;

function start(kind: string, bytesBefore: number): Deno.ChildProcess {
  const script = new URL("uncaught.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", "--quiet", script, kind, String(bytesBefore)],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
}

for (const kind of ["error", "rejection"]) {
  Deno.test(`an uncaught ${kind} is the last message, with its stack, and ends the process with exit code 1`, async () => {
    const { code, stderr } = await start(kind, 10).output();
    assert.equal(code, 1);
    assert.match(
      new TextDecoder().decode(stderr),
      new RegExp(`^x{10}\nproxy: Error: uncaught ${kind}\n +at .*`),
    );
  });

  Deno.test(`an uncaught ${kind} ends the process also when nobody reads its standard error`, async () => {
    const process = start(kind, MORE_THAN_A_PIPE);
    const killer = setTimeout(() => process.kill("SIGKILL"), 30_000);
    const { code, signal } = await process.status;
    clearTimeout(killer);
    assert.deepEqual([code, signal], [1, null]);
    await process.stderr.cancel();
  });
}
