import assert from "node:assert/strict";
import { type Backend, BackendError, type Requirement, StillInUse } from "../../../core/backend/contract.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import { dispatch } from "../../../core/commands/dispatch.ts";
import type { ConntrackSettings } from "../../../core/node/host_settings.ts";
import { libc } from "../../../ffi/libraries/libc.ts";
import { fakePlatform, withBackend } from "../backend/fake_modes.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly files: ReadonlyMap<string, string>;
  readonly cleanups: number;
  /** The settings of conntrack that were applied. */
  readonly conntrack: readonly ConntrackSettings[];
}

/** Runs a command line with a backend that behaves as given. */
async function runProxy(
  args: readonly string[],
  behaviour: {
    requirements?: readonly Requirement[];
    cleanup?: () => Promise<void>;
    file?: string;
    prepareNode?: Backend["prepareNode"];
  } = {},
): Promise<Outcome> {
  let [out, err, cleanups] = ["", "", 0];
  const files = new Map<string, string>();
  const conntrack: ConntrackSettings[] = [];
  const unused = () => Promise.reject(new Error("not part of this test"));
  const backend: Backend = {
    mode: "nftables",
    probe: () => Promise.resolve(behaviour.requirements ?? []),
    ...(behaviour.prepareNode === undefined ? {} : { prepareNode: behaviour.prepareNode }),
    cleanup: () => (cleanups++, behaviour.cleanup?.() ?? Promise.resolve()),
    reconcile: unused,
    compare: unused,
    leftovers: unused,
    apply: unused,
    watch: () => ({ [Symbol.dispose]() {} }),
    [Symbol.dispose]() {},
  };
  const platform = {
    modes: [withBackend(nftables, () => backend)] as const,
    ...fakePlatform,
    setConntrackSysctls: (settings: ConntrackSettings) => void conntrack.push(settings),
  };
  const code = await dispatch(args, platform, {
    hostname: "node-a",
    hasColours: false,
    isTerminal: false,
    readTextFile: () => Promise.resolve(behaviour.file ?? ""),
    writeTextFile: (path, text) => {
      if (path.startsWith("/read-only")) return Promise.reject(new Deno.errors.PermissionDenied("read-only"));
      files.set(path, text);
      return Promise.resolve();
    },
    print: (text) => void (out += text),
    printError: (text) => err += text,
    logOutput: { write: (line) => err += line, reportTo() {}, dropped: { rate: 0, queue: 0, write: 0 } },
  });
  return { code, out, err, files, cleanups, conntrack };
}

Deno.test("--init-only applies the settings of the node, of conntrack and of the mode, and warns of those it cannot", async () => {
  const prepared: boolean[] = [];
  const prepareNode = (localhostNodePorts: boolean) => {
    prepared.push(localhostNodePorts);
    return Promise.resolve(["a sysctl cannot be set"]);
  };
  const args = ["--init-only", "--kubeconfig=/k", "--conntrack-udp-timeout=17s"];
  const { code, err, conntrack } = await runProxy(args, { prepareNode });
  assert.equal(code, 0, err);
  assert.deepEqual(conntrack.map(({ udpTimeoutMs }) => udpTimeoutMs), [17_000]);
  assert.deepEqual(prepared, [false]);
  assert.match(err, /^W.*"a sysctl cannot be set"$/m);
});

Deno.test("cleanup exits with 1 and names what remains, if other programs use it", async () => {
  const cleanup = () => Promise.reject(new StillInUse("nftables: chain KUBE-MARK-MASQ remains"));
  const { code, err } = await runProxy(["--cleanup"], { cleanup });
  assert.equal(code, 1);
  assert.match(
    err,
    /^E.*"Removed all rules, except what other programs use" mode="nftables" err="nftables: chain/,
  );
  assert.doesNotMatch(err, /tearing down/);
});

Deno.test("--stay keeps nothing running that did not clean up", async () => {
  const { code, err, cleanups } = await runProxy(["--stay", "--kubeconfig=/k"]);
  assert.deepEqual([code, err, cleanups], [1, "proxy: --stay: must be used with --cleanup\n", 0]);
  const cleanup = () => Promise.reject(new StillInUse("nftables: chain KUBE-MARK-MASQ remains"));
  assert.equal((await runProxy(["--cleanup", "--stay"], { cleanup })).code, 1);
});

Deno.test("help shows all flags except the deprecated ones, in lines of at most 100 columns", async () => {
  const { code, out, err } = await runProxy(["--help"]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^ {2}--cluster-cidr string$/m);
  assert.match(out, /^ {2}-v int$/m);
  assert.match(out, /^ {2}-h, --help$/m);
  assert.doesNotMatch(out, /--healthz-port/);
  for (const line of out.split("\n")) assert(line.length <= 100, line);
  assert.equal((await runProxy(["help"])).out, out);
  assert.equal((await runProxy(["-h", "--proxy-mode=nonsense"])).out, out);
});

Deno.test("the help of a command shows its own flags and its exit codes", async () => {
  const { code, out, err } = await runProxy(["check", "--help"]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^ {2}proxy check \[flags\]$/m);
  assert.match(out, /^ {2}-o, --output string$/m);
  assert.match(out, /^ {2}0 {2}\S/m);
  assert.doesNotMatch(out, /--cluster-cidr/);
  assert.equal((await runProxy(["help", "check"])).out, out);
  assert.equal((await runProxy(["-h", "check"])).out, out);
});

Deno.test("a flag of a command follows its name, in every way that flags are written", async () => {
  const requirement = { name: "a", found: true, detail: "b", severity: "required" } as const;
  const modes = [{ mode: "nftables", ok: true, requirements: [{ name: "a", state: "ok", detail: "b" }] }];
  for (const written of [["-o", "json"], ["-ojson"], ["-o=json"], ["--output=json"], ["--output", "json"]]) {
    const { code, out, err } = await runProxy(["check", ...written], { requirements: [requirement] });
    assert.deepEqual([code, err, JSON.parse(out).modes], [0, "", modes], written.join(" "));
  }
  assert.match(
    (await runProxy(["check", "-oyaml"], { requirements: [requirement] })).out,
    /^mode: nftables$/m,
  );
  const cases: Record<string, string> = {
    "-o json": "unknown flag -o (see proxy --help)",
    "-o json check": "unknown flag -o (see proxy --help)",
    "version --output json": "unknown flag --output (see proxy version --help)",
    "check -o xml": '--output "xml": must be table, json or yaml',
    "check -o=xml": '--output "xml": must be table, json or yaml',
    "check -oom-score-adj":
      "unknown flag -oom-score-adj: did you mean --oom-score-adj? (see proxy check --help)",
    "check --outptu x": "unknown flag --outptu: did you mean --output? (see proxy check --help)",
    "help chekc": "unknown command chekc: did you mean check? (see proxy --help)",
  };
  for (const [line, message] of Object.entries(cases)) {
    const { code, out, err } = await runProxy(line.split(" "));
    assert.deepEqual([code, out, err], [1, "", `proxy: ${message}\n`], line);
  }
});

Deno.test("version prints the version", async () => {
  assert.match((await runProxy(["--version"])).out, /^proxy \d+\.\d+\.\d+\n$/);
  assert.equal((await runProxy(["version"])).out, (await runProxy(["--version"])).out);
});

Deno.test("a mistake of the operator is one message without a stack, and exit code 1", async () => {
  const cases: Record<string, string> = {
    "--cluster-cdir=x":
      "proxy: unknown flag --cluster-cdir: did you mean --cluster-cidr? (see proxy --help)\n",
    "--oom-score-adj=5000": "proxy: --oom-score-adj 5000: must be between -1000 and 1000\n",
    "chekc": "proxy: unknown command chekc: did you mean check? (see proxy --help)\n",
    "--write-config-to=/read-only/x": "proxy: --write-config-to /read-only/x: cannot be written: read-only\n",
  };
  for (const [arg, message] of Object.entries(cases)) {
    const { code, out, err } = await runProxy([arg]);
    assert.deepEqual([code, out, err], [1, "", message]);
  }
  assert.equal((await runProxy(["check", "this"])).err, "proxy: check takes no arguments, got this\n");
  for (const [shells, got] of [[[], "nothing"], [["tcsh"], "tcsh"], [["bash", "zsh"], "bash zsh"]] as const) {
    const { code, err } = await runProxy(["completion", ...shells]);
    const message = `proxy: completion takes the name of a shell, bash, zsh or fish; got ${got}\n`;
    assert.deepEqual([code, err], [1, message]);
  }
});

Deno.test("a defect is printed with its stack", async () => {
  const { code, err } = await runProxy(["check"], {
    get requirements(): readonly Requirement[] {
      throw new TypeError("odd");
    },
  });
  assert.equal(code, 1);
  assert.match(err, /^proxy: TypeError: odd\n {4}at /);
});

Deno.test("write-config-to writes the effective configuration, and the file reads back", async () => {
  const { code, files } = await runProxy(["--write-config-to=/c.yaml", "--cluster-cidr=10.0.0.0/8", "--v=3"]);
  assert.equal(code, 0);
  const written = files.get("/c.yaml") ?? "";
  assert.match(written, /^mode: nftables$/m);
  assert.match(written, /^clusterCIDR: 10\.0\.0\.0\/8$/m);
  const again = await runProxy(["--config=/c.yaml", "--write-config-to=/d.yaml"], { file: written });
  assert.equal(again.files.get("/d.yaml"), written);
});

Deno.test("cleanup removes the rules of every mode and exits", async () => {
  const { code, cleanups, err } = await runProxy(["--cleanup"]);
  assert.deepEqual([code, cleanups], [0, 1]);
  assert.match(err, /^I.*"Removed all rules" mode="nftables"\n$/);
});

Deno.test("a failed cleanup is reported with its reason and the text of kube-proxy", async () => {
  const { code, err } = await runProxy(["--cleanup"], {
    cleanup: () => Promise.reject(new BackendError("nftables: delete table: EPERM")),
  });
  assert.equal(code, 1);
  assert.match(err, /^E.*"Removing the rules failed" mode="nftables" err="nftables: delete table: EPERM"\n/);
  assert.match(err, /\nproxy: encountered an error while tearing down rules\n$/);
});

Deno.test("check lists the requirements of the mode, and fails if a required one is missing", async () => {
  const found = {
    name: "nf_tables in the kernel",
    found: true,
    detail: "a table could be made",
    severity: "required",
  } as const;
  const missing = {
    name: "CAP_NET_ADMIN",
    found: false,
    detail: "give it to the unit",
    severity: "required",
  } as const;
  const good = await runProxy(["check"], { requirements: [found] });
  assert.equal(good.code, 0);
  assert.match(good.out, /^ok +nftables +nf_tables in the kernel +a table could be made$/m);
  assert.match(good.out, /^Mode nftables can work on this node\.$/m);
  const bad = await runProxy(["check"], { requirements: [found, missing] });
  assert.equal(bad.code, 1);
  assert.match(bad.out, /^MISSING +nftables +CAP_NET_ADMIN +give it to the unit$/m);
  assert.match(bad.out, /^Mode nftables cannot work on this node; missing: CAP_NET_ADMIN\.$/m);
});

Deno.test("check lists missing requirements that are recommended or optional, and does not fail for them", async () => {
  const { code, out } = await runProxy(["check"], {
    requirements: [
      { name: "no legacy iptables rules", found: false, severity: "recommended", detail: "nat has 3 chains" },
      { name: "packet counters", found: false, severity: "optional", detail: "two metrics are left out" },
    ],
  });
  assert.equal(code, 0);
  assert.match(out, /^WARNING +nftables +no legacy iptables rules +nat has 3 chains$/m);
  assert.match(out, /^absent +nftables +packet counters +two metrics are left out$/m);
});
