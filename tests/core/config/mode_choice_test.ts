import assert from "node:assert/strict";
import { ipvs } from "../../../backends/ipvs/mode.ts";
import { iptables } from "../../../backends/iptables/mode.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import type { Backend, Requirement, Severity } from "../../../core/backend/contract.ts";
import type { Mode } from "../../../core/backend/mode.ts";
import { dispatch } from "../../../core/commands/dispatch.ts";
import { libc } from "../../../ffi/libraries/libc.ts";
import { fakePlatform, withBackend } from "../backend/fake_modes.ts";
import { load } from "./loaded.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();

/** The mode on a node that lacks a feature, or none. */
function onNode(mode: Mode, lacking?: { readonly name: string; readonly severity: Severity }): Mode {
  const missing: readonly Requirement[] = lacking === undefined
    ? []
    : [{ ...lacking, found: false, detail: "the kernel rejects it" }];
  const unused = () => Promise.reject(new Error("not part of this test"));
  return withBackend(mode, (): Backend => ({
    mode: mode.name,
    probe: () => Promise.resolve([{ name: "a", found: true, detail: "b", severity: "required" }, ...missing]),
    reconcile: unused,
    compare: unused,
    leftovers: () => Promise.resolve([]),
    apply: unused,
    watch: () => ({ [Symbol.dispose]() {} }),
    cleanup: () => Promise.resolve(),
    [Symbol.dispose]() {},
  }));
}

const NAT = { name: "destination NAT", severity: "required" } as const;

Deno.test("auto selects the first mode that has what it requires, and says what the modes before it lack", async () => {
  const works = (await load(["--proxy-mode=auto"], "", [onNode(nftables), onNode(iptables)])).config;
  assert.equal(works.mode.name, "nftables");
  assert.deepEqual(works.modeChoice?.reason, "the first of nftables and iptables that can work here");
  const { config } = await load(["--proxy-mode=auto"], "", [onNode(nftables, NAT), onNode(iptables)]);
  assert.equal(config.mode.name, "iptables");
  assert.equal(config.modes.includes(config.mode), true);
  assert.equal(
    config.modeChoice?.reason,
    "the first of nftables and iptables that can work here; " +
      "mode nftables cannot: destination NAT (the kernel rejects it)",
  );
  const recommended = { name: "a helper", severity: "recommended" } as const;
  const tolerant = await load(["--proxy-mode=auto"], "", [onNode(nftables, recommended), onNode(iptables)]);
  assert.equal(tolerant.config.mode.name, "nftables");
});

Deno.test("modes that lack the same are named together", async () => {
  const modes = [onNode(nftables, NAT), onNode(iptables, NAT)] as const;
  const { config } = await load(["--proxy-mode=auto"], "", modes);
  assert.equal(
    config.modeChoice?.reason,
    "none of nftables and iptables can work here; " +
      "modes nftables and iptables cannot: destination NAT (the kernel rejects it)",
  );
});

Deno.test("auto never selects a mode that has to be named", async () => {
  const { config } = await load(["--proxy-mode=auto"], "", [onNode(ipvs), onNode(iptables)]);
  assert.equal(config.mode.name, "iptables");
});

Deno.test("a mode that is named is not tried", async () => {
  const modes = [onNode(nftables, NAT), onNode(iptables)] as const;
  const { config } = await load(["--proxy-mode=nftables"], "", modes);
  assert.deepEqual([config.mode.name, config.modeChoice], ["nftables", undefined]);
});

Deno.test("a file may leave the choice open, and the written configuration keeps it open", async () => {
  const modes = [onNode(nftables, NAT), onNode(iptables)] as const;
  const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
  const { config } = await load(["--config=/c.yaml"], `${header}mode: auto\n`, modes);
  assert.deepEqual([config.mode.name, config.document.mode], ["iptables", "auto"]);
  // The default depends on the mode.
  assert.deepEqual([config.nodePortAddresses, config.document.nodePortAddresses], [["all"], []]);
  const blank = await load(
    ["--config=/c.yaml", "--proxy-mode=auto"],
    `${header}iptables: {masqueradeBit: 9}\n`,
    [
      onNode(nftables),
      onNode(iptables),
    ],
  );
  assert.deepEqual([blank.config.mode.name, blank.config.document.mode], ["nftables", "auto"]);
  // Whichever mode another node selects, it reads the same setting.
  const { nftables: ofNftables, iptables: ofIptables } = blank.config.document;
  assert.deepEqual([ofNftables.masqueradeBit, ofIptables.masqueradeBit], [9, 9]);
});

async function run(modes: readonly [Mode, ...Mode[]], ...args: readonly string[]) {
  let [out, err] = ["", ""];
  const code = await dispatch(args, { modes, ...fakePlatform }, {
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

Deno.test("a start logs the choice; if no mode can work, one message says what each of them lacks", async () => {
  const modes = [onNode(nftables, NAT), onNode(iptables)] as const;
  const start = await run(modes, "--proxy-mode=auto", "--init-only", "--kubeconfig=/k");
  assert.match(
    start.err,
    /"Selected the mode" mode="iptables" reason="the first of nftables and iptables .*; mode nftables cannot: destination NAT/,
  );
  const none = await run(
    [onNode(nftables, NAT), onNode(iptables, NAT)],
    "--proxy-mode=auto",
    "--kubeconfig=/k",
  );
  assert.equal(none.code, 1);
  assert.match(
    none.err,
    /^proxy: --proxy-mode auto: none of nftables and iptables can work here; modes nftables and iptables cannot: /m,
  );
});

Deno.test("check tries every mode, and says which one auto would select and why", async () => {
  const { code, out } = await run(
    [onNode(nftables, NAT), onNode(iptables), onNode(ipvs)],
    "check",
    "--proxy-mode=auto",
  );
  assert.equal(code, 0);
  assert.match(out, /^Mode nftables cannot work on this node; missing: destination NAT\.$/m);
  assert.match(out, /^Mode ipvs can work on this node\.$/m);
  assert.match(
    out,
    /^A start would use mode iptables \(auto: the first of nftables and iptables that can work here; /m,
  );
});

Deno.test("check says that a start would fail if auto finds no mode that can work", async () => {
  const { code, out } = await run(
    [onNode(nftables, NAT), onNode(iptables, NAT)],
    "check",
    "--proxy-mode=auto",
  );
  assert.equal(code, 1);
  assert.match(
    out,
    /^A start would fail: none of nftables and iptables can work here; modes nftables and iptables cannot: .*\.$/m,
  );
  assert.doesNotMatch(out, /would use mode/);
});
