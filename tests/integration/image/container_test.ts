import assert from "node:assert/strict";
import { kubeadmFamily } from "../cli/distributions/kubeadm_family.ts";
import { Node } from "../cli/support/node.ts";
import { NodeFiles } from "../cli/support/node_files.ts";
import { service } from "../cli/support/objects.ts";
import { buildImage, type ContainerOptions, Image } from "./support/container.ts";

/** Mounts and arguments of a proxy that reads the manifests of a node. */
function ofNode(node: Node, ...flags: readonly string[]): ContainerOptions {
  return {
    args: ["/proxy", "--manifests=/manifests", ...node.identity, ...flags],
    mounts: { "/manifests": { source: node.manifests } },
  };
}

const slice = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "web-1", namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.244.0.7"] }],
  ports: [{ port: 8080, protocol: "TCP" }],
};

async function nodeWithService(): Promise<Node> {
  const node = await Node.make();
  await node.write("web.yaml", [service("web", "10.96.0.10"), slice]);
  return node;
}

const warnings = (log: string) =>
  [...log.matchAll(/^W\d{4}.*?\] "(.*?)(?<!\\)"/gm)].map(([, message]) => message ?? "");

Deno.test("in a container with a read-only root, RuntimeDefault seccomp and named capabilities", async (t) => {
  await buildImage();
  await using image = await Image.unpack();

  /** Runs a container until it ends by itself. */
  async function finish(node: Node, options: ContainerOptions): Promise<{ code: number; log: string }> {
    await using proxy = image.start(node, options);
    await proxy.until(() => !proxy.isRunning, "end");
    const { code } = await proxy.end();
    return { code, log: proxy.log };
  }

  await t.step("the image has the program under the names of kube-proxy, and no shell", async () => {
    const files = new Deno.Command("find", {
      args: [image.rootFileSystem, "-type", "f", "-printf", "/%P\n"],
    });
    const names = new TextDecoder().decode((await files.output()).stdout).trim().split("\n");
    const programs = names.filter((name) =>
      !/\/lib[^/]*\.so\.\d+$|\/ld-linux-|^\/etc\/|\/copyright$|\/LICENSE$/.test(name)
    );
    assert.deepEqual(programs, ["/proxy"]);
    assert.equal(await Deno.readLink(`${image.rootFileSystem}/usr/local/bin/kube-proxy`), "/proxy");
  });

  await t.step("CAP_NET_ADMIN is sufficient for mode nftables", async () => {
    await using node = await nodeWithService();
    await using proxy = image.start(node, ofNode(node));
    await proxy.inForce();
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
    assert.equal((await proxy.end()).code, 0, proxy.log);
    // One warning for each thing that a read-only /proc/sys and /run prevent.
    const [conntrack, addresses, records, ...others] = warnings(proxy.log);
    assert.match(
      conntrack ?? "",
      /^settings of connection tracking are not in force: .* Read-only file system/,
    );
    assert.match(addresses ?? "", /^Node ports answer on no primary address/);
    assert.match(records ?? "", /^\/run\/proxy\/manifests-\w+\.json cannot be written/);
    assert.deepEqual(others, []);
  });

  await t.step("mode iptables says what it misses in a read-only /proc/sys, and works", async () => {
    await using node = await nodeWithService();
    await using proxy = image.start(node, ofNode(node, "--proxy-mode=iptables"));
    await proxy.inForce();
    assert.match(await node.ruleset(), /ip daddr 10\.96\.0\.10 /);
    const localnet = warnings(proxy.log).filter((warning) => warning.includes("route_localnet"));
    assert.equal(localnet.length, 1, proxy.log);
    assert.match(localnet[0] ?? "", /Set it to 1 on the node, give the container a writable \/proc\/sys, or/);
  });

  await t.step("a container without /sys and without writable directories serves as well", async () => {
    await using node = await nodeWithService();
    await using proxy = image.start(node, { ...ofNode(node), without: ["/sys", "/dev/shm", "/dev/mqueue"] });
    await proxy.inForce();
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
  });

  await t.step("kubeadm's DaemonSet starts with this image instead of kube-proxy's", async () => {
    const [kubeadm] = kubeadmFamily;
    assert(kubeadm !== undefined);
    await using node = await Node.make();
    const { root } = await NodeFiles.make(node.directory, kubeadm);
    const mount = (path: string) => ({ [path]: { source: root + path } });
    await using proxy = image.start(node, {
      args: ["/usr/local/bin/kube-proxy", ...kubeadm.args.map((arg) => arg.replace("NODE", "worker-1"))],
      mounts: { ...mount("/var/lib/kube-proxy"), ...mount("/var/run/secrets/kubernetes.io/serviceaccount") },
    });
    await proxy.logs(/"Starting proxy" .* mode="nftables" node="worker-1"/);
    await proxy.logs(/API server 127\.0\.0\.1:6443: .*retrying/);
    assert.equal((await proxy.end()).code, 0, proxy.log);
  });

  await t.step("kube-proxy is found on the PATH", async () => {
    await using node = await Node.make();
    assert.deepEqual(
      await finish(node, { args: ["kube-proxy", "--version=raw"] }).then(({ code }) => code),
      0,
    );
  });

  const ebpf = {
    args: ["/proxy", "check", "--proxy-mode=ebpf"],
    capabilities: ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"],
  };

  await t.step(
    "mode ebpf needs CAP_BPF and CAP_PERFMON, and says how to mount a BPF file system",
    async () => {
      await using node = await Node.make();
      const { log } = await finish(node, ebpf);
      assert.match(log, /ok +ebpf +BPF programs for sockets of this node +the kernel accepts them/);
      assert.match(log, /ok +ebpf +BPF programs for packets from outside +the kernel accepts them/);
      assert.match(log, /MISSING +ebpf +BPF file system .*Mount one: mount -t bpf bpf \/sys\/fs\/bpf/);
      assert.match(log, /MISSING +ebpf +cgroup v2 /);
    },
  );

  await t.step("a seccomp profile that does not know CAP_BPF is named as a cause", async () => {
    await using node = await Node.make();
    const { log } = await finish(node, { ...ebpf, hasOldSeccompProfile: true });
    assert.match(log, /MISSING +ebpf +BPF programs for sockets .*a seccomp filter forbids bpf\(\)/);
  });

  await t.step("a user other than root has no capabilities in a container, and is told so", async () => {
    await using node = await nodeWithService();
    const { code, log } = await finish(node, { ...ofNode(node), user: 65532 });
    assert.equal(code, 1);
    assert.match(log, /lacks CAP_NET_ADMIN in this network namespace\. Give it to the unit or the container/);
  });
});
