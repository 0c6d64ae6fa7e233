import assert from "node:assert/strict";
import { dirname } from "node:path/posix";
import { readKernelFacts } from "../../../core/node/kernel_facts.ts";
import { kernelFindings } from "../../../core/explain/node_findings.ts";

/** A root with these files of /proc and /sys. A value that begins with "-> " is a link. */
async function withRoot(
  files: Readonly<Record<string, string>>,
  test: (root: string) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(`${root}${path}`), { recursive: true });
      if (text.startsWith("-> ")) await Deno.symlink(text.slice(3), `${root}${path}`);
      else await Deno.writeTextFile(`${root}${path}`, `${text}\n`);
    }
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** PID of the proxy that has the lock. */
const PROXY_PID = 78;

const healthy = {
  "/proc/self/ns/net": "-> net:[1]",
  "/proc/self/ns/pid": "-> pid:[4026531836]",
  "/proc/self/exe": "-> ../../proxy",
  "/proxy": "this program",
  "/kube-proxy": "another program",
  "/proc/sys/net/ipv4/ip_forward": "1",
  "/proc/sys/net/ipv6/conf/all/forwarding": "1",
  "/proc/sys/net/ipv4/conf/all/rp_filter": "0",
  "/proc/sys/net/ipv4/conf/eth0/rp_filter": "2",
  "/proc/sys/net/netfilter/nf_conntrack_count": "100",
  "/proc/sys/net/netfilter/nf_conntrack_max": "1000",
  "/sys/class/net/eth0/ifindex": "2",
};

const faults: Readonly<Record<string, readonly [files: Record<string, string>, causes: readonly string[]]>> =
  {
    "a healthy node": [{}, []],
    "forwarding of IPv4 is off": [{ "/proc/sys/net/ipv4/ip_forward": "0" }, ["forwarding-off"]],
    "forwarding of IPv6 is off": [{ "/proc/sys/net/ipv6/conf/all/forwarding": "0" }, ["forwarding-off"]],
    "conntrack is full": [{ "/proc/sys/net/netfilter/nf_conntrack_count": "1000" }, ["conntrack-full"]],
    "conntrack is almost full": [
      { "/proc/sys/net/netfilter/nf_conntrack_count": "950" },
      ["conntrack-almost-full"],
    ],
    "all interfaces are strict": [{ "/proc/sys/net/ipv4/conf/all/rp_filter": "1" }, []],
    "one interface is strict": [
      { "/proc/sys/net/ipv4/conf/eth0/rp_filter": "1" },
      ["reverse-path-filter"],
    ],
    "a bridge without br_netfilter": [
      { "/sys/class/net/cni0/bridge/bridge_id": "8000" },
      ["bridge-bypasses-netfilter"],
    ],
    "a bridge with br_netfilter": [
      {
        "/sys/class/net/cni0/bridge/bridge_id": "8000",
        "/proc/sys/net/bridge/bridge-nf-call-iptables": "1",
        "/proc/sys/net/bridge/bridge-nf-call-ip6tables": "1",
      },
      [],
    ],
    "legacy tables": [{ "/proc/net/ip_tables_names": "nat\nfilter" }, ["legacy-tables"]],
    "kube-proxy runs": [
      {
        "/proc/77/comm": "kube-proxy",
        "/proc/77/ns/net": "-> net:[1]",
        "/proc/77/exe": "-> ../../kube-proxy",
      },
      ["another-proxy-runs"],
    ],
    "kube-proxy runs, and its program cannot be seen": [
      { "/proc/77/comm": "kube-proxy", "/proc/77/ns/net": "-> net:[1]" },
      ["another-proxy-runs"],
    ],
    "this program runs by the name of kube-proxy": [
      { "/proc/77/comm": "kube-proxy", "/proc/77/ns/net": "-> net:[1]", "/proc/77/exe": "-> ../../proxy" },
      [],
    ],
    "the proxy that has the lock is another version, by the name of kube-proxy": [
      {
        [`/proc/${PROXY_PID}/comm`]: "kube-proxy",
        [`/proc/${PROXY_PID}/ns/net`]: "-> net:[1]",
        [`/proc/${PROXY_PID}/exe`]: "-> ../../kube-proxy",
      },
      [],
    ],
    "kube-proxy runs in another network namespace": [
      { "/proc/77/comm": "kube-proxy", "/proc/77/ns/net": "-> net:[2]" },
      [],
    ],
  };

for (const [fault, [files, causes]] of Object.entries(faults)) {
  Deno.test(`facts of the kernel: ${fault}`, () =>
    withRoot({ ...healthy, ...files }, async (root) => {
      const facts = await readKernelFacts({ root, proxyPid: PROXY_PID });
      assert.deepEqual([...kernelFindings(facts, ["IPv4", "IPv6"])].map(({ cause }) => cause), causes);
    }));
}

Deno.test("facts of the kernel: nothing can be read", () =>
  withRoot({}, async (root) => {
    assert.deepEqual([...kernelFindings(await readKernelFacts({ root }), ["IPv4", "IPv6"])], []);
  }));

Deno.test("facts of the kernel: the PID namespace of a container hides processes", async () => {
  const sees = (files: Record<string, string>) =>
    withRoot({ ...healthy, ...files }, async (root) => {
      const { seesAllProcesses } = await readKernelFacts({ root });
      assert.equal(seesAllProcesses, files["/proc/self/ns/pid"] === undefined);
    });
  await sees({});
  await sees({ "/proc/self/ns/pid": "-> pid:[4026532001]" });
});
