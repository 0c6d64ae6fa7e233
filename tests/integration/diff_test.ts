import assert from "node:assert/strict";
import { ebpfFlags } from "../lab/ebpf_mounts.ts";
import { Lab } from "../lab/lab.ts";
import { slowness } from "../lab/pace.ts";
import { proxyBinary, ProxyProcess } from "../lab/proxy.ts";
import { podCidrs, serviceAddress } from "../lab/topology.ts";
import { answered } from "../lab/traffic.ts";
import { LabControlPlane, missingPeers, nodeObject, RunningProxy } from "./support/takeover_lab.ts";
import { webObjects } from "./support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

type Mode = "nftables" | "iptables" | "ebpf";

interface Diff {
  readonly code: number;
  readonly text: string;
}

const UNCHANGED: Diff = { code: 0, text: "Found rules of this mode.\nNothing would change.\n" };

/** Runs `proxy diff` on the node, and checks that it changes nothing. */
async function diff(lab: Lab, mode: Mode, ...source: readonly string[]): Promise<Diff> {
  const before = await kernelState(lab);
  const flags = [
    "--hostname-override=here",
    `--proxy-mode=${mode}`,
    `--cluster-cidr=${podCidrs.here.IPv4},${podCidrs.here.IPv6}`,
    ...ebpfFlags(lab.ebpfMounts),
  ];
  const { code, stdout, stderr } = await lab.run("node", [proxyBinary, "diff", ...flags, ...source]);
  assert.equal(stderr, "");
  assert.equal(await kernelState(lab), before, "diff changed the kernel");
  return { code, text: stdout };
}

/** Everything that a proxy may program: nf_tables without counters, the pins, and the programs of the cgroup. */
async function kernelState(lab: Lab): Promise<string> {
  const { bpffs, cgroup } = lab.ebpfMounts;
  const commands = [
    ["nft", "--stateless", "list", "ruleset"],
    ["find", bpffs.slice(0, bpffs.lastIndexOf("/"))],
    ["bpftool", "cgroup", "show", cgroup],
    ["sysctl", "net.ipv4.conf.all.route_localnet", "net.ipv4.ip_forward"],
  ];
  const outputs = [];
  for (const command of commands) outputs.push((await lab.run("node", command)).stdout);
  return outputs.join("\n");
}

/** Waits until kube-proxy has programmed both families. */
async function settled(lab: Lab): Promise<void> {
  for (let before = await kernelState(lab);;) {
    await new Promise((resolve) => setTimeout(resolve, 2000 * slowness));
    const now = await kernelState(lab);
    if (now === before) return;
    before = now;
  }
}

async function publish(lab: Lab, ...objects: readonly object[]): Promise<string> {
  const directory = `${lab.directory}/manifests`;
  await Deno.mkdir(directory, { recursive: true });
  const list = { apiVersion: "v1", kind: "List", items: [...webObjects("web", web.to), ...objects] };
  await Deno.writeTextFile(`${directory}/web.json`, JSON.stringify(list));
  return `--manifests=${directory}`;
}

/** Takes a part of the rules away, as another program may do; then `difference` names it. */
const damages: Readonly<
  Record<Mode, { readonly by: (lab: Lab) => Promise<unknown>; readonly difference: RegExp }>
> = {
  nftables: {
    by: (lab) => lab.run("node", ["nft", `delete element ip kube-proxy cluster-ips { ${web.to} }`]),
    difference: new RegExp(`^\\+ ${web.to} in set cluster-ips of table ip kube-proxy$`, "m"),
  },
  iptables: {
    by: (lab) => lab.run("node", ["iptables-nft", "--table", "nat", "--flush", "KUBE-MARK-MASQ"]),
    difference: /^~ chain KUBE-MARK-MASQ of table ip nat$/m,
  },
  ebpf: {
    by: (lab) => lab.run("node", ["sh", "-c", `rm ${lab.ebpfMounts.bpffs}/*/links/connect4`]),
    difference: /^\+ program connect4 of cgroup /m,
  },
};

const names: Readonly<Record<Mode, RegExp>> = {
  nftables: new RegExp(`^\\+ ${web.to}:80/TCP in set service-ips of table ip kube-proxy$`, "m"),
  iptables: /^\+ chain KUBE-SVC-\w+ of table ip nat \(default\/web\)$/m,
  ebpf: new RegExp(`^\\+ ${web.to}:80/TCP of default/web$`, "m"),
};

const leftovers: Readonly<Record<Mode, RegExp>> = {
  nftables: /^- table ip kube-proxy$/m,
  iptables: /^- chain KUBE-\S+ of table ip nat and \d+ more$/m,
  ebpf: /^- BPF programs and maps pinned in /m,
};

for (const mode of ["nftables", "iptables", "ebpf"] as const) {
  Deno.test(`mode ${mode}: diff names what a start would change, and nothing once it is in force`, async () => {
    await using lab = await Lab.create(true);
    const source = await publish(lab);
    const before = await diff(lab, mode, source);
    assert.equal(before.code, 1, before.text);
    assert.match(before.text, /^Found no rules of this mode\.$/m);
    assert.match(before.text, names[mode]);

    await using proxy = new ProxyProcess(lab, source.replace("--manifests=", ""), mode);
    await answered(lab.agent("outside"), web);
    assert.deepEqual(await diff(lab, mode, source), UNCHANGED);

    const other = mode === "nftables" ? "iptables" : "nftables";
    const another = await diff(lab, other, source);
    assert.equal(another.code, 1);
    assert.match(another.text, new RegExp(`what mode ${mode} has:$`, "m"));
    assert.match(another.text, leftovers[mode]);

    await proxy.stop("SIGKILL");
    await damages[mode].by(lab);
    const damaged = await diff(lab, mode, source);
    assert.equal(damaged.code, 1);
    assert.match(damaged.text, damages[mode].difference);
    assert.equal(damaged.text.split("\n").filter((line) => /^[-+~]/.test(line)).length, 1, damaged.text);
    await publish(lab, ...webObjects("added", serviceAddress("clusterIP", "IPv4", 12)));
    assert.match((await diff(lab, mode, source)).text, mode === "iptables" ? /default\/added/ : /:80\/TCP/);
  });
}

for (const mode of ["nftables", "iptables"] as const) {
  Deno.test(`mode ${mode}: diff knows what a level of --traffic-metrics adds, and what remains of another one`, async () => {
    await using lab = await Lab.create();
    const source = await publish(lab);
    const full = "--traffic-metrics=full";
    {
      await using _proxy = new ProxyProcess(lab, source.replace("--manifests=", ""), mode);
      await answered(lab.agent("outside"), web);
      const more = await diff(lab, mode, source, full);
      assert.equal(more.code, 1);
      assert.match(
        more.text,
        /^\+ (chain count-output of table ip kube-proxy$|table ip kube-proxy-traffic)/m,
      );
    }
    await using _proxy = new ProxyProcess(lab, source.replace("--manifests=", ""), mode, [full]);
    while (!(await kernelState(lab)).includes("packets-to-endpoints")) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await answered(lab.agent("outside"), web);
    assert.deepEqual(await diff(lab, mode, source, full), UNCHANGED);
    const less = await diff(lab, mode, source);
    assert.match(less.text, /^- (chain count-output of table ip kube-proxy|table ip kube-proxy-traffic)$/m);
  });

  Deno.test({
    name:
      `mode ${mode}: diff finds the rules of kube-proxy, names them, and nothing after the takeover${missingPeers}`,
    ignore: missingPeers !== "",
    async fn() {
      await using lab = await Lab.create();
      await using plane = await LabControlPlane.start(lab);
      await plane.publish([nodeObject, ...webObjects("web", web.to)]);
      await using upstream = new RunningProxy(lab, plane, "kube-proxy", mode);
      await answered(lab.agent("outside"), web);
      await settled(lab);
      const source = `--kubeconfig=${plane.kubeconfig}`;
      const before = await diff(lab, mode, source);
      if (mode === "nftables") {
        assert.equal(before.code, 1, before.text);
        assert.match(before.text, /^Found the rules of another program, such as kube-proxy\.$/m);
        assert.match(before.text, /^- chain service-\S+default\/web\S* of table ip kube-proxy$/m);
        assert.match(before.text, /^\+ set endpoints of table ip kube-proxy$/m);
      } else {
        // In mode iptables the rules are the same.
        assert.deepEqual(before, UNCHANGED);
      }
      const other = await diff(lab, mode === "nftables" ? "iptables" : "nftables", source);
      assert.match(other.text, leftovers[mode]);

      await upstream.kill();
      await using proxy = new RunningProxy(lab, plane, "proxy", mode);
      const deadline = performance.now() + 30_000 * slowness;
      while (!/rules of another mode remain" mode="ebpf"/.test(proxy.log)) {
        assert(performance.now() < deadline, proxy.log);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.deepEqual(await diff(lab, mode, source), UNCHANGED);
    },
  });
}

Deno.test("diff ends with 2 and one message if nothing can be said", async () => {
  await using lab = await Lab.create();
  const { code, stdout, stderr } = await lab.run("node", [proxyBinary, "diff", "--manifests=/nowhere"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /^proxy: --manifests \/nowhere: no such directory; [^\n]*\n$/);
  const wrong = await lab.run("node", [proxyBinary, "diff", "--proxy-mdoe=x"]);
  assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
});
