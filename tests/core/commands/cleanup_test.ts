import assert from "node:assert/strict";
import { BackendError, type ProxyMode } from "../../../backends/backend.ts";
import { cleanUpOthers } from "../../../core/commands/cleanup.ts";
import { type Log, silentLog } from "../../../core/observe/log.ts";
import { defaultOptions as ebpf } from "../../backends/ebpf/options.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { MapBackend } from "../loop/kernel.ts";

/** Cleans up for a process in mode nftables of a build with these modes. */
async function cleanUpFor(
  inUse: ProxyMode,
  modes: Readonly<Partial<Record<ProxyMode, () => Promise<void>>>>,
): Promise<readonly string[]> {
  const said: string[] = [];
  const say = (message: string, fields?: Readonly<Record<string, unknown>>) =>
    said.push(`${message}: ${fields?.["mode"]}`);
  const log: Log = { ...silentLog, info: say, error: say };
  const backends = new Map<ProxyMode, () => MapBackend>();
  for (const mode of ["nftables", "iptables", "ipvs"] as const) {
    const cleanup = modes[mode];
    if (cleanup !== undefined) backends.set(mode, () => Object.assign(new MapBackend(), { cleanup }));
  }
  await cleanUpOthers({ mode: inUse, ipvs: defaultOptions, ebpf }, backends, log);
  return said;
}

Deno.test("a mode in force has what the others left removed, and nothing of its own", async () => {
  const cleaned: string[] = [];
  const clean = (mode: string) => () => Promise.resolve(void cleaned.push(mode));
  const said = await cleanUpFor("iptables", { nftables: clean("nftables"), iptables: clean("iptables") });
  assert.deepEqual(cleaned, ["nftables"]);
  assert.deepEqual(said, ["Nothing of another mode is left: nftables"]);
});

Deno.test("what another mode left and cannot be removed is logged, and the next one is tried", async () => {
  const refuse = () => Promise.reject(new BackendError("EPERM"));
  const said = await cleanUpFor("nftables", { iptables: refuse, ipvs: () => Promise.resolve() });
  assert.deepEqual(said, [
    "Rules of another mode may be left and still be followed: iptables",
    "Nothing of another mode is left: ipvs",
  ]);
});
