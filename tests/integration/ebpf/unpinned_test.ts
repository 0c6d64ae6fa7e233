import assert from "node:assert/strict";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import { Lab } from "../../lab/lab.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { machines, serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { run } from "../support/network_namespace.ts";
import { webObjects } from "../support/web_objects.ts";
import { isLinux } from "./support/kernel_version.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

/** A directory without the pins of mode ebpf, as in a container that lacks the node's BPF file system. */
const ELSEWHERE = "--ebpf-bpffs=/run/no-such-directory/proxy";
const CLEAN = /No rules of another mode remain" mode="ebpf"/;

/** The number of programs that are attached to the cgroup and to a device. */
async function attached(node: Node, cgroup: string): Promise<number> {
  const names = await run("bpftool", "cgroup", "show", cgroup);
  const filters = await node.namespace.run("bpftool", "net", "list", "dev", DEVICE);
  const links = isLinux(6, 6)
    ? await node.namespace.run(Deno.execPath(), "eval", "--no-check", COUNT_LINKS)
    : "0";
  return (`${names}${filters}`.match(
    /\b(ingress|egress)_l2\b|\b(connect|sendmsg|recvmsg|getpeername)[46]\b/gm,
  ) ??
    [])
    .length + Number(links);
}

const DEVICE = "eth0";
const EVERY_PROGRAM = 10;
/** bpftool of this system does not list links to devices. */
const COUNT_LINKS = `
  const { BPF_TCX, countPrograms } = await import("${new URL("../../../ffi/bpf/query.ts", import.meta.url)}");
  const index = Number(Deno.readTextFileSync("/sys/class/net/${DEVICE}/ifindex"));
  console.log(Object.values(BPF_TCX).filter((type) => countPrograms(index, type) > 0).length);
`;

/** Starts mode ebpf on a node, and ends it without removing anything. */
async function leaveProgramsOn(node: Node, mounts: PrivateMounts): Promise<void> {
  await node.namespace.run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", "lan");
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start(
    "--proxy-mode=ebpf",
    `--ebpf-bpffs=${mounts.bpffs}`,
    `--ebpf-cgroup=${mounts.cgroup}`,
  );
  await proxy.inForce();
}

Deno.test("programs are detached by a start in another mode, also if their pins are not in reach", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  await leaveProgramsOn(node, mounts);
  assert.equal(await attached(node, mounts.cgroup), EVERY_PROGRAM);
  await using proxy = node.start("--proxy-mode=nftables", ELSEWHERE);
  await proxy.logs(CLEAN);
  assert.equal(await attached(node, mounts.cgroup), 0);
});

Deno.test("programs are detached by --cleanup, also if their pins are not in reach; others stay", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  await leaveProgramsOn(node, mounts);
  await using otherMounts = await PrivateMounts.make();
  await using otherNode = await Node.make();
  await leaveProgramsOn(otherNode, otherMounts);
  const { code, stderr } = await node.run(["--cleanup", ELSEWHERE]);
  assert.equal(code, 0, stderr);
  assert.equal(await attached(node, mounts.cgroup), 0);
  assert.equal(await attached(otherNode, otherMounts.cgroup), EVERY_PROGRAM);
});

Deno.test({
  name: "a start that cannot find out whose programs are attached says so",
  // Filters are found by their priority, which takes no CAP_SYS_ADMIN.
  ignore: !isLinux(6, 6),
  async fn() {
    await using mounts = await PrivateMounts.make();
    await using node = await Node.make();
    await leaveProgramsOn(node, mounts);
    const without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    await using proxy = node.startWith(without, "--proxy-mode=nftables", ELSEWHERE);
    await proxy.logs(
      /BPF programs are attached to device eth0, lan(, [a-z0-9]+)*, and telling whose they are takes CAP_SYS_ADMIN/,
    );
  },
});

Deno.test("connections survive leaving mode ebpf, also if its pins are not in reach", async () => {
  await using lab = await Lab.create(true);
  const manifests = `${lab.directory}/manifests`;
  await Deno.mkdir(manifests);
  const clusterIP = serviceAddress("clusterIP", "IPv4", 11);
  const items = webObjects("web", clusterIP, { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] });
  await Deno.writeTextFile(
    `${manifests}/web.json`,
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
  const nodePort = { protocol: "TCP", to: machines.node.addresses.IPv4, port: 30080 } as const;
  let proxy = new ProxyProcess(lab, manifests, "ebpf", ebpfFlags(lab.ebpfMounts));
  try {
    await answered(lab.agent("outside"), nodePort);
    const connections = await ConnectionsDuringSwitch.start(lab, nodePort);
    await proxy.stop("SIGKILL");
    proxy = new ProxyProcess(lab, manifests, "nftables", [ELSEWHERE]);
    while (!CLEAN.test(proxy.log)) {
      proxy.assertRunning();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await connections.mustHaveSurvived("the switch to mode nftables");
  } finally {
    await proxy.stop();
  }
});
