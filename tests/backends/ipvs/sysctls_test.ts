import assert from "node:assert/strict";
import { dirname } from "node:path";
import { setSysctls } from "../../../backends/ipvs/sysctls.ts";

const asTheyAre = {
  "net/ipv4/vs/conntrack": "0",
  "net/ipv4/vs/expire_nodest_conn": "0",
  "net/ipv4/vs/expire_quiescent_template": "1",
  "net/ipv4/vs/conn_reuse_mode": "1",
  "net/ipv4/ip_forward": "0",
  "net/ipv4/conf/all/arp_ignore": "0",
  "net/ipv4/conf/all/arp_announce": "0",
} as const;
type Name = keyof typeof asTheyAre;

/** A directory like /proc/sys. */
class Sysctls implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "sysctls-" });

  constructor(without: readonly Name[] = []) {
    for (const [name, value] of Object.entries(asTheyAre)) {
      if (without.some((one) => one === name)) continue;
      const path = `${this.directory}/${name}`;
      Deno.mkdirSync(dirname(path), { recursive: true });
      Deno.writeTextFileSync(path, `${value}\n`);
      Deno.utimeSync(path, 0, 0);
    }
  }

  /** Those that were written, and what they are now. */
  written(): Record<string, string> {
    const entries = Object.keys(asTheyAre).flatMap((name) => {
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

Deno.test("what is not as it should be is set, and nothing else is written", () => {
  using sysctls = new Sysctls();
  const { directory } = sysctls;
  assert.deepEqual(setSysctls({ strictArp: false, directory, kernelRelease: "6.1.0-50-cloud-amd64" }), []);
  assert.deepEqual(sysctls.written(), {
    "vs/conntrack": "1",
    "vs/expire_nodest_conn": "1",
    "ip_forward": "1",
  });
});

Deno.test("strict ARP is set for those who want it", () => {
  using sysctls = new Sysctls();
  assert.deepEqual(setSysctls({ strictArp: true, directory: sysctls.directory, kernelRelease: "6.1.0" }), []);
  const { "conf/all/arp_ignore": ignore, "conf/all/arp_announce": announce } = sysctls.written();
  assert.deepEqual([ignore, announce], ["1", "2"]);
});

Deno.test("ports that are used again do not wait on kernels before 5.9", () => {
  for (
    const [kernelRelease, expected] of [["5.8.18", "0"], ["4.19.0-27-amd64", "0"], ["5.10.0", undefined]]
  ) {
    using sysctls = new Sysctls();
    setSysctls({ strictArp: false, directory: sysctls.directory, kernelRelease: kernelRelease ?? "" });
    assert.equal(sysctls.written()["vs/conn_reuse_mode"], expected, kernelRelease);
  }
});

Deno.test("what cannot be set says what that means and what to do, and makes no file", () => {
  using sysctls = new Sysctls(["net/ipv4/vs/conntrack"]);
  const { directory } = sysctls;
  const problems = setSysctls({ strictArp: false, directory, kernelRelease: "6.1.0" });
  assert.equal(problems.length, 1);
  assert.match(
    problems.join(),
    /not masqueraded.*the sysctl net\.ipv4\.vs\.conntrack cannot be set \(No such file.*Set it to 1 on the node/,
  );
  assert.throws(() => Deno.statSync(`${directory}/net/ipv4/vs/conntrack`));
});
