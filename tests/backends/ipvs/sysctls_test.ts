import assert from "node:assert/strict";
import { dirname } from "node:path";
import { setSysctls } from "../../../backends/ipvs/sysctls.ts";

const INITIAL = {
  "net/ipv4/vs/conntrack": "0",
  "net/ipv4/vs/expire_nodest_conn": "0",
  "net/ipv4/vs/expire_quiescent_template": "1",
  "net/ipv4/vs/conn_reuse_mode": "1",
  "net/ipv4/ip_forward": "0",
  "net/ipv4/conf/all/arp_ignore": "0",
  "net/ipv4/conf/all/arp_announce": "0",
} as const;
type Name = keyof typeof INITIAL;

/** A directory like /proc/sys. */
class Sysctls implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "sysctls-" });

  constructor(without: readonly Name[] = []) {
    for (const [name, value] of Object.entries(INITIAL)) {
      if (without.some((one) => one === name)) continue;
      const path = `${this.directory}/${name}`;
      Deno.mkdirSync(dirname(path), { recursive: true });
      Deno.writeTextFileSync(path, `${value}\n`);
      Deno.utimeSync(path, 0, 0);
    }
  }

  /** The sysctls that were written, and their values. */
  written(): Record<string, string> {
    const entries = Object.keys(INITIAL).flatMap((name) => {
      const path = `${this.directory}/${name}`;
      if (Deno.statSync(path).mtime?.getTime() === 0) return [];
      return [[name.slice("net/ipv4/".length), Deno.readTextFileSync(path).trim()]];
    });
    return Object.fromEntries(entries);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("sysctls with another value are set, and no others are written", () => {
  using sysctls = new Sysctls();
  const { directory } = sysctls;
  assert.deepEqual(setSysctls({ strictArp: false, directory, kernelRelease: "6.1.0-50-cloud-amd64" }), []);
  assert.deepEqual(sysctls.written(), {
    "vs/conntrack": "1",
    "vs/expire_nodest_conn": "1",
    "ip_forward": "1",
  });
});

Deno.test("the sysctls of strict ARP are set on request", () => {
  using sysctls = new Sysctls();
  assert.deepEqual(setSysctls({ strictArp: true, directory: sysctls.directory, kernelRelease: "6.1.0" }), []);
  const { "conf/all/arp_ignore": ignore, "conf/all/arp_announce": announce } = sysctls.written();
  assert.deepEqual([ignore, announce], ["1", "2"]);
});

Deno.test("kernels before 5.9 get conn_reuse_mode 0, so that reused client ports do not wait", () => {
  for (
    const [kernelRelease, expected] of [["5.8.18", "0"], ["4.19.0-27-amd64", "0"], ["5.10.0", undefined]]
  ) {
    using sysctls = new Sysctls();
    setSysctls({ strictArp: false, directory: sysctls.directory, kernelRelease: kernelRelease ?? "" });
    assert.equal(sysctls.written()["vs/conn_reuse_mode"], expected, kernelRelease);
  }
});

Deno.test("a sysctl that cannot be set is reported with its effect and what to do, and creates no file", () => {
  using sysctls = new Sysctls(["net/ipv4/vs/conntrack"]);
  const { directory } = sysctls;
  const problems = setSysctls({ strictArp: false, directory, kernelRelease: "6.1.0" });
  assert.equal(problems.length, 1);
  assert.match(
    problems.join(),
    /the sysctl net\.ipv4\.vs\.conntrack cannot be set \(No such file.*not masqueraded.*Set it to 1 on the node/,
  );
  assert.throws(() => Deno.statSync(`${directory}/net/ipv4/vs/conntrack`));
});
