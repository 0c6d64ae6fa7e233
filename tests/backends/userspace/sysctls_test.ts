import assert from "node:assert/strict";
import { setSysctls } from "../../../backends/userspace/sysctls.ts";

async function directoryWith(value: string | undefined): Promise<string> {
  const directory = await Deno.makeTempDir();
  await Deno.mkdir(`${directory}/net/ipv4`, { recursive: true });
  if (value !== undefined) await Deno.writeTextFile(`${directory}/net/ipv4/tcp_tw_reuse`, value);
  return directory;
}

Deno.test("local ports are reused after a second", async () => {
  const directory = await directoryWith("2\n");
  assert.deepEqual(setSysctls(directory), []);
  assert.equal(await Deno.readTextFile(`${directory}/net/ipv4/tcp_tw_reuse`), "1\n");
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a sysctl that cannot be set is a warning that says what to do", async () => {
  const directory = await directoryWith(undefined);
  const [warning = "", ...others] = setSysctls(directory);
  assert.match(warning, /net\.ipv4\.tcp_tw_reuse to 1 \(.*470 connections per second.*set it on the node/);
  assert.deepEqual(others, []);
  await Deno.remove(directory, { recursive: true });
});
