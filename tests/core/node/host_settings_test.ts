import assert from "node:assert/strict";
import { dirname } from "node:path";
import {
  type ConntrackSettings,
  setConntrackSysctls,
  setOomScoreAdj,
} from "../../../core/node/host_settings.ts";
import type { Log } from "../../../core/observe/log.ts";

const keepAll: ConntrackSettings = {
  maxPerCore: 0,
  min: 0,
  tcpBeLiberal: false,
  tcpEstablishedTimeoutMs: 0,
  tcpCloseWaitTimeoutMs: 0,
  udpTimeoutMs: 0,
  udpStreamTimeoutMs: 0,
};

/** kube-proxy's defaults. */
const defaults: ConntrackSettings = {
  ...keepAll,
  maxPerCore: 32768,
  min: 131072,
  tcpEstablishedTimeoutMs: 86_400_000,
  tcpCloseWaitTimeoutMs: 3_600_000,
};

/** Values of a kernel with conntrack, below net/netfilter. */
const initial = {
  nf_conntrack_max: "65536",
  nf_conntrack_tcp_be_liberal: "0",
  nf_conntrack_tcp_timeout_established: "432000",
  nf_conntrack_tcp_timeout_close_wait: "60",
  nf_conntrack_udp_timeout: "30",
  nf_conntrack_udp_timeout_stream: "120",
};

/** Files like those of /proc/sys and /sys, and a log. */
class FakeNode implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "host-" });
  readonly sysctls = `${this.directory}/sys`;
  readonly hashSize = `${this.directory}/hashsize`;
  readonly onlineCpus = `${this.directory}/online`;
  readonly oomScoreAdj = `${this.directory}/oom_score_adj`;
  readonly warnings: string[] = [];
  readonly infos: string[] = [];

  constructor(
    { sysctls = initial, cpus = "0-3\n", buckets = "16384" }: {
      sysctls?: Partial<typeof initial>;
      cpus?: string;
      buckets?: string;
    } = {},
  ) {
    for (const [name, value] of Object.entries(sysctls)) this.#write(this.path(name), value);
    this.#write(this.onlineCpus, cpus);
    this.#write(this.hashSize, buckets);
    this.#write(this.oomScoreAdj, "0");
  }

  path(name: string): string {
    return `${this.sysctls}/net/netfilter/${name}`;
  }

  apply(settings: Partial<ConntrackSettings>): void {
    setConntrackSysctls({ ...keepAll, ...settings }, this.log, this);
  }

  /** Everything that was written, and its value. */
  written(): Record<string, string> {
    const files = [this.hashSize, this.oomScoreAdj, ...Object.keys(initial).map((name) => this.path(name))];
    return Object.fromEntries(
      files.filter((path) => (statOf(path)?.mtime?.getTime() ?? 0) !== 0)
        .map((path) => [path.slice(path.lastIndexOf("/") + 1), Deno.readTextFileSync(path).trim()]),
    );
  }

  get log(): Log {
    return {
      error: (message) => assert.fail(message),
      warn: (message) => void this.warnings.push(message),
      info: (message) => void this.infos.push(message),
    };
  }

  /** Makes a sysctl one that cannot be written, also by root. */
  break(name: string): void {
    const path = this.path(name);
    Deno.removeSync(path);
    // Reading a directory fails, and so does writing it.
    Deno.mkdirSync(path);
  }

  #write(path: string, text: string): void {
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeTextFileSync(path, `${text.trim()}\n`);
    Deno.utimeSync(path, 0, 0);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function statOf(path: string): Deno.FileInfo | undefined {
  const info = Deno.statSync(path);
  return info.isFile ? info : undefined;
}

Deno.test("conntrack gets kube-proxy's limit, hash table and timeouts", () => {
  using node = new FakeNode();
  node.apply(defaults);
  assert.deepEqual(node.written(), {
    nf_conntrack_max: "131072",
    hashsize: "32768",
    nf_conntrack_tcp_timeout_established: "86400",
    nf_conntrack_tcp_timeout_close_wait: "3600",
  });
  assert.deepEqual(node.warnings, []);
});

Deno.test("only what differs is written, and 0 and false keep the kernel's values", () => {
  using node = new FakeNode({
    sysctls: { ...initial, nf_conntrack_max: "131072", nf_conntrack_tcp_timeout_close_wait: "3600" },
    buckets: "65536",
  });
  node.apply({ ...defaults, tcpEstablishedTimeoutMs: 0 });
  assert.deepEqual(node.written(), {});
  node.apply({ ...keepAll, udpTimeoutMs: 9_900, udpStreamTimeoutMs: 500, tcpBeLiberal: true });
  assert.deepEqual(node.written(), {
    nf_conntrack_udp_timeout: "9",
    nf_conntrack_udp_timeout_stream: "1",
    nf_conntrack_tcp_be_liberal: "1",
  });
});

Deno.test("the limit follows the CPUs of the host, not below the minimum, and at most 1048576", () => {
  const cases = [
    { cpus: "0-7", limit: "262144" },
    { cpus: "0-3,8-9,12", limit: "229376" },
    { cpus: "0", limit: "131072" },
    { cpus: "0-127", limit: "1048576" },
  ];
  for (const { cpus, limit } of cases) {
    using node = new FakeNode({ cpus });
    node.apply({ maxPerCore: 32768, min: 131072 });
    assert.equal(node.written()["nf_conntrack_max"], limit, cpus);
  }
});

Deno.test("one warning names all settings that cannot be written, and the others are applied", () => {
  using node = new FakeNode();
  node.break("nf_conntrack_tcp_timeout_established");
  node.break("nf_conntrack_udp_timeout");
  node.apply({ ...defaults, udpTimeoutMs: 40_000, udpStreamTimeoutMs: 90_000 });
  assert.equal(node.warnings.length, 1);
  assert.match(node.warnings.join(), /nf_conntrack_tcp_timeout_established .*instead of 86400, /);
  assert.match(node.warnings.join(), /nf_conntrack_udp_timeout .*instead of 40.*writable \/proc\/sys/);
  assert.deepEqual(Object.keys(node.written()).sort(), [
    "hashsize",
    "nf_conntrack_max",
    "nf_conntrack_tcp_timeout_close_wait",
    "nf_conntrack_udp_timeout_stream",
  ]);
});

Deno.test("a kernel without connection tracking gets no settings, no files and no warning", () => {
  using node = new FakeNode({ sysctls: {} });
  node.apply(defaults);
  assert.deepEqual(node.warnings, []);
  assert.match(node.infos.join(), /no connection tracking/);
  assert.throws(() => Deno.statSync(node.sysctls), Deno.errors.NotFound);
});

Deno.test("the OOM score is written if it differs, and a failure is a warning only if the value was chosen", () => {
  using node = new FakeNode();
  setOomScoreAdj(0, false, node.log, node.oomScoreAdj);
  assert.deepEqual(node.written(), {});
  setOomScoreAdj(-5, false, node.log, node.oomScoreAdj);
  assert.deepEqual(node.written(), { oom_score_adj: "-5" });
  setOomScoreAdj(-999, true, node.log, `${node.directory}/missing`);
  assert.deepEqual(node.warnings, []);
  setOomScoreAdj(7, false, node.log, `${node.directory}/missing`);
  assert.match(node.warnings.join(), /^oomScoreAdj 7 cannot be set \(.*CAP_SYS_RESOURCE/);
});
