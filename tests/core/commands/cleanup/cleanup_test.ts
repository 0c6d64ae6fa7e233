import assert from "node:assert/strict";
import { BackendError, NotPermitted, StillInUse } from "../../../../core/backend/contract.ts";
import { cleanUpOthers } from "../../../../core/commands/cleanup/cleanup.ts";
import type { Log } from "../../../../core/observe/log.ts";
import { silentLog } from "../../observe/log/silent_log.ts";
import { configured, plainMode } from "../../backend/fake_modes.ts";
import { MapBackend } from "../../sync/kernel.ts";

interface Cleanups {
  readonly cleanup: () => Promise<void>;
  readonly cleanUpLeftovers?: () => Promise<void>;
}

/** Cleans up for a process in mode `inUse` of a program with these modes. */
async function cleanUpFor(
  inUse: string,
  cleanups: Readonly<Record<string, Cleanups>>,
): Promise<readonly string[]> {
  const logged: string[] = [];
  const record = (message: string, fields?: Readonly<Record<string, unknown>>) =>
    logged.push(`${message}: ${fields?.["mode"]}`);
  const log: Log = { ...silentLog, info: record, warn: record, error: record };
  const modes = Object.entries(cleanups).map(([name, methods]) =>
    configured(plainMode(name, () => Object.assign(new MapBackend(), methods)))
  );
  const mode = modes.find(({ name }) => name === inUse) ??
    configured(plainMode(inUse, () => new MapBackend()));
  await cleanUpOthers({ mode, modes }, log);
  return logged;
}

const done = { cleanup: () => Promise.resolve() };
const reject = () => Promise.reject(new BackendError("EPERM"));

Deno.test("cleanup removes the rules of the other modes, not those of the mode in use", async () => {
  const cleaned: string[] = [];
  const clean = (mode: string) => ({ cleanup: () => Promise.resolve(void cleaned.push(mode)) });
  const logged = await cleanUpFor("iptables", { nftables: clean("nftables"), iptables: clean("iptables") });
  assert.deepEqual(cleaned, ["nftables"]);
  assert.deepEqual(logged, ["No rules of another mode remain: nftables"]);
});

Deno.test("a failed cleanup of one mode is logged, and the next mode is tried", async () => {
  const logged = await cleanUpFor("nftables", { iptables: { cleanup: reject }, ipvs: done });
  assert.deepEqual(logged, [
    "Rules of another mode may remain and still match traffic: iptables",
    "No rules of another mode remain: ipvs",
  ]);
});

Deno.test("objects that other programs use are named, and are no failure of a start", async () => {
  const inUse = () => Promise.reject(new StillInUse("iptables: chain KUBE-MARK-MASQ remains"));
  const logged = await cleanUpFor("nftables", { iptables: { cleanup: inUse }, ipvs: done });
  assert.deepEqual(logged, [
    "No rules of another mode remain, except what other programs use: iptables",
    "No rules of another mode remain: ipvs",
  ]);
});

Deno.test("leftovers of kube-proxy are removed last, and only those of the mode in use", async () => {
  const cleaned: string[] = [];
  const clean = (mode: string) => ({
    cleanup: () => Promise.resolve(void cleaned.push(mode)),
    cleanUpLeftovers: () => Promise.resolve(void cleaned.push(`leftovers of ${mode}`)),
  });
  const modes = { nftables: clean("nftables"), iptables: clean("iptables"), ipvs: clean("ipvs") };
  const logged = await cleanUpFor("nftables", modes);
  assert.deepEqual(cleaned, ["iptables", "ipvs", "leftovers of nftables"]);
  assert.equal(logged.at(-1), "No leftovers of kube-proxy remain: nftables");
});

Deno.test("leftovers of kube-proxy that cannot be removed are logged", async () => {
  const logged = await cleanUpFor("ipvs", {
    iptables: { cleanup: reject },
    ipvs: { ...done, cleanUpLeftovers: reject },
  });
  assert.deepEqual(logged, [
    "Rules of another mode may remain and still match traffic: iptables",
    "Leftovers of kube-proxy may remain: ipvs",
  ]);
});

Deno.test("a process without privileges gets one warning, and not an error per mode", async () => {
  const denied = { cleanup: () => Promise.reject(new NotPermitted("EPERM")) };
  const modes = { nftables: denied, iptables: denied, ipvs: denied };
  const [warning, ...more] = await cleanUpFor("userspace", modes);
  assert.match(warning ?? "", /^This process may not read the rules of other modes.* as root: undefined$/);
  assert.deepEqual(more, []);
});

Deno.test("a privilege that only one mode lacks is an error of that mode", async () => {
  const denied = { cleanup: () => Promise.reject(new NotPermitted("EPERM")) };
  assert.deepEqual(await cleanUpFor("nftables", { iptables: done, ebpf: denied }), [
    "No rules of another mode remain: iptables",
    "Rules of another mode may remain and still match traffic: ebpf",
  ]);
});
