import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import type { Backend } from "../../../core/backend/contract.ts";
import { defineMode, type Modes } from "../../../core/backend/mode.ts";
import { dispatch } from "../../../core/commands/dispatch.ts";
import { flag } from "../../../core/config/flags/flag.ts";
import { MetricRegistry } from "../../../core/observe/metrics/registry/registry.ts";
import { SyncFailures } from "../../../core/observe/metrics/sync_metrics.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { load } from "../config/loaded.ts";
import { fakePlatform } from "./fake_modes.ts";
import { textOf } from "../observe/metrics/metrics_text.ts";
import { libbpf } from "../../../ffi/libraries/libbpf.ts";
import { libc } from "../../../ffi/libraries/libc.ts";
import { libnl } from "../../../ffi/libraries/libnl.ts";
import { address } from "../plan/builders.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();
libnl();
libbpf();

/** Flags of a mode that exists in this file only. */
const toyFlags = {
  "toy-colour": flag("string", "red", "Colour of the toy."),
};

const cleaned: string[] = [];

const toy = defineMode({
  name: "toy",
  isAutomatic: false,
  flags: toyFlags,
  planning: {
    endsTcpConnections: true,
    listsInterfaceAddresses: true,
    defaultNodePortAddresses: "primary",
    localhostNodePorts: true,
  },
  sections: { periods: "ipvs", masquerade: "nftables" },
  failureMetrics: [{ name: "sync_proxy_rules_toy_failures_total", help: "Failed toy syncs", counts: "all" }],
  featureGate: "Toys",
  serviceDevice: "toy0",
  readOptions({ valuesOf, read }) {
    const colour = valuesOf(toyFlags)["toy-colour"];
    return { colour: read.choice("--toy-colour", colour, ["red", "green"]) };
  },
  create: ({ colour }): Backend => ({
    mode: "toy",
    probe: () =>
      Promise.resolve([{ name: "a toy", found: true, severity: "required", detail: `it is ${colour}` }]),
    reconcile: () => Promise.resolve({ found: "nothing", differences: [], compared: "all" }),
    compare: () => Promise.resolve({ found: "nothing", added: [], changed: [], removed: [] }),
    leftovers: () => Promise.resolve([]),
    apply: () => Promise.resolve(),
    watch: () => ({ [Symbol.dispose]() {} }),
    cleanup: () => Promise.resolve(void cleaned.push(colour)),
    [Symbol.dispose]() {},
  }),
});

const withToy: Modes = [...modes, toy];

async function run(
  platformModes: Modes,
  ...args: readonly string[]
): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const platform = { modes: platformModes, ...fakePlatform };
  const code = await dispatch(args, platform, {
    hostname: "node-a",
    hasColours: false,
    isTerminal: false,
    readTextFile: () => Promise.reject(new Deno.errors.NotFound()),
    writeTextFile: () => Promise.resolve(),
    print: (text) => void (out += text),
    printError: (text) => err += text,
    logOutput: { write: (line) => err += line, reportTo() {}, dropped: { rate: 0, queue: 0, write: 0 } },
  });
  return { code, out, err };
}

Deno.test("the help shows a new mode, its flags and its defaults", async () => {
  const { out } = await run(withToy, "--help");
  assert.match(
    out,
    /^Mode toy only \(not in kube-proxy\):\n {2}--toy-colour string\n {8}Colour of the toy\. Default: red\.$/m,
  );
  const text = out.replaceAll(/\s+/g, " ");
  assert.match(
    text,
    /How connections are forwarded: nftables, iptables, ipvs, ebpf, userspace or toy; or auto, the first of nftables, iptables and userspace that can work on this node\. Default: "nftables"/,
  );
  assert.match(
    text,
    /Default: primary in modes nftables, ebpf, userspace and toy, all in modes iptables and ipvs\./,
  );
  assert.match(
    text,
    /In modes iptables, ebpf, userspace and toy, IPv4: node ports also answer on loopback addresses\./,
  );
  assert.match(text, /the flags for logging and modes ebpf, userspace and toy\./);
});

Deno.test("a program without the mode knows neither its name nor its flags", async () => {
  assert.equal(
    (await run(modes, "check", "--toy-colour=green")).err,
    "proxy: unknown flag --toy-colour (see proxy check --help)\n",
  );
  assert.match(
    (await run(modes, "check", "--proxy-mode=toy")).err,
    /must be nftables, iptables, ipvs, ebpf, userspace, auto or blank/,
  );
});

Deno.test("check uses the mode with the options of its flags", async () => {
  const { code, out } = await run(withToy, "check", "--proxy-mode=toy", "--toy-colour=green");
  assert.equal(code, 0);
  assert.match(out, /^ok +toy +a toy +it is green$/m);
});

Deno.test("validation reports mistakes in the mode's flags, and its feature gate", async () => {
  assert.equal(
    (await run(withToy, "check", "--proxy-mode=toy", "--toy-colour=blue")).err,
    'proxy: --toy-colour "blue": must be one of red, green\n',
  );
  assert.match(
    (await run(withToy, "check", "--proxy-mode=toy", "--feature-gates=Toys=false")).err,
    /must be another mode while the feature gate Toys is off/,
  );
  const { warnings } = await load(["--cluster-cidr=10.0.0.0/8", "--feature-gates=Toys=true"], "", withToy);
  assert.deepEqual(warnings, []);
});

Deno.test("the mode reads the sections that its descriptor names, and gets what it needs from planning", async () => {
  const args = ["--proxy-mode=toy", "--ipvs-min-sync-period=2s", "--iptables-min-sync-period=3s"];
  const { config } = await load(args, "", withToy);
  assert.equal(config.minSyncPeriodMs, 2000);
  assert.deepEqual(config.nodePortAddresses, ["primary"]);
  assert.equal(config.localhostNodePorts, true);
  const addresses = ["127.0.0.1", "192.0.2.1"].map(address);
  const view = nodeView(config, ["IPv4"], { node: undefined, serviceCidrs: [] }, addresses, undefined);
  assert.equal(view.context.endsConnections, true);
  assert.deepEqual(view.settings[0]?.interfaceAddresses, addresses);
});

Deno.test("failed syncs are counted under the mode's own name", async () => {
  const registry = new MetricRegistry();
  const failures = new SyncFailures(registry, toy.failureMetrics, ["IPv4"]);
  failures.count("IPv4", true);
  assert.match(
    await textOf(registry),
    /^kubeproxy_sync_proxy_rules_toy_failures_total\{ip_family="IPv4"\} 1$/m,
  );
});

Deno.test("cleanup includes the mode", async () => {
  const { code } = await run([toy], "--cleanup", "--toy-colour=green");
  assert.deepEqual([code, cleaned], [0, ["green"]]);
});

Deno.test("the first mode of the list is the default", async () => {
  const { config } = await load([], "", [toy, ...modes]);
  assert.equal(config.mode.name, "toy");
  assert.equal(config.document.mode, "toy");
});
