import assert from "node:assert/strict";
import { nftables } from "../../../backends/nftables/mode.ts";
import { userspace } from "../../../backends/userspace/mode.ts";
import { readUserspaceOptions, type UserspaceOptions } from "../../../backends/userspace/options.ts";
import { defineMode, type Modes } from "../../../core/backend/mode.ts";
import { formatCidr } from "../../../core/net/address.ts";
import { load } from "../../core/config/loaded.ts";

/** Reads the options from a command line. */
async function optionsOf(...args: readonly string[]): Promise<UserspaceOptions> {
  let read: UserspaceOptions | undefined;
  const mode = defineMode({
    ...userspace,
    readOptions: (source) => read = readUserspaceOptions(source),
    create: () => assert.fail("not part of this test"),
  });
  const modes: Modes = [nftables, mode];
  await load(["--proxy-mode=userspace", ...args], "", modes);
  assert(read !== undefined);
  return read;
}

Deno.test("the range of loopback addresses is for a process without rules", async () => {
  const options = await optionsOf("--userspace-rules=false", "--userspace-loopback=127.64.0.0/16");
  assert.equal(options.hasRules, false);
  assert(options.loopback !== undefined);
  assert.equal(formatCidr(options.loopback), "127.64.0.0/16");
  await assert.rejects(
    optionsOf("--userspace-loopback=127.64.0.0/16"),
    /must be left out, or used with --userspace-rules=false/,
  );
});

Deno.test("the hosts file is for loopback addresses", async () => {
  const options = await optionsOf(
    "--userspace-rules=false",
    "--userspace-loopback=127.64.0.0/16",
    "--userspace-hosts-file=/run/hosts",
  );
  assert.equal(options.hostsFile, "/run/hosts");
  assert.equal((await optionsOf()).hostsFile, undefined);
  await assert.rejects(
    optionsOf("--userspace-rules=false", "--userspace-hosts-file=/run/hosts"),
    /must be left out, or used with --userspace-loopback/,
  );
});

Deno.test("a range that is not loopback is a mistake", async () => {
  for (const range of ["10.0.0.0/16", "126.0.0.0/7", "::1/128"]) {
    await assert.rejects(
      optionsOf("--userspace-rules=false", `--userspace-loopback=${range}`),
      /--userspace-loopback .*must be a part of 127\.0\.0\.0\/8/,
      range,
    );
  }
});

Deno.test("connections may finish for eight seconds, or for as long as the flag says", async () => {
  assert.equal((await optionsOf()).drainMs, 8000);
  assert.equal((await optionsOf("--userspace-drain-timeout=1m")).drainMs, 60_000);
});
