import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { chart, helm, type KubernetesObject, kustomization, withComponent } from "./render.ts";

// The real helm and kubectl, which scripts/peers.sh builds.

/** Values for what the kustomizations have in their files. */
const own = ["apiServer=https://api-server.example:6443", "configuration.clusterCIDR=10.244.0.0/16"];
const names = modes.map(({ name }) => name);

function daemonSetOf(objects: readonly KubernetesObject[]): KubernetesObject {
  return objects.find(({ kind }) => kind === "DaemonSet");
}

Deno.test("the chart makes the objects of the overlay of each mode", async () => {
  for (const mode of names) {
    const objects = await chart(`mode=${mode}`, ...own);
    assert.deepEqual(objects, await kustomization(`overlays/${mode}`), mode);
    const kinds = objects.map(({ kind }) => kind);
    assert.deepEqual(kinds, ["ClusterRoleBinding", "ConfigMap", "DaemonSet", "ServiceAccount"]);
  }
});

Deno.test("with the ConfigMap of kubeadm, the chart makes the objects of kubeadm/MODE, and no ConfigMap", async () => {
  for (const mode of names) {
    const objects = await chart(`mode=${mode}`, "existingConfigMap=kube-proxy");
    assert.deepEqual(objects, await kustomization(`kubeadm/${mode}`), mode);
    const kinds = objects.map(({ kind }) => kind);
    assert.deepEqual(kinds, ["ClusterRoleBinding", "DaemonSet", "ServiceAccount"]);
    const [config] = daemonSetOf(objects).spec.template.spec.volumes.filter(
      ({ name }: { name: string }) => name === "config",
    );
    assert.deepEqual(config.configMap, { name: "kube-proxy" });
  }
});

Deno.test("the chart has what the components add", async () => {
  const overlay = "overlays/nftables";
  assert.deepEqual(await chart("nodeSettings=true", ...own), await withComponent(overlay, "node-settings"));
  assert.deepEqual(
    await chart("mode=ebpf", "nodeSettings=true", ...own),
    await withComponent("overlays/ebpf", "node-settings-ebpf"),
  );
  for (const mode of ["nftables", "userspace"]) {
    assert.deepEqual(
      await chart(`mode=${mode}`, "afterEbpf=true", ...own),
      await withComponent(`overlays/${mode}`, "after-ebpf"),
    );
  }
  assert.deepEqual(await chart("cleanup=true", ...own), await withComponent(overlay, "cleanup"));
});

Deno.test("with exposeMetrics, the pods have the port of the PodMonitor, and the metrics every address", async () => {
  const objects = await chart("exposeMetrics=true", ...own);
  const component = await withComponent("overlays/nftables", "monitoring");
  assert.deepEqual(daemonSetOf(objects), daemonSetOf(component));
  const { data } = objects.find(({ kind }) => kind === "ConfigMap");
  assert.equal(data["config.conf"].metricsBindAddress, "0.0.0.0:10249");

  const [map, monitor, rule] = await kustomization("../monitoring");
  assert.deepEqual([map.kind, monitor.kind, rule.kind], ["ConfigMap", "PodMonitor", "PrometheusRule"]);
  const { metadata, spec } = daemonSetOf(objects).spec.template;
  const { ports } = spec.containers[0];
  for (const { port } of monitor.spec.podMetricsEndpoints) {
    assert(ports.some(({ name }: { name: string }) => name === port), `the pods have no port ${port}`);
  }
  assert.deepEqual(metadata.labels, monitor.spec.selector.matchLabels);
  assert.equal(metadata.labels[monitor.spec.jobLabel], "proxy");
  assert.equal(monitor.metadata.namespace, daemonSetOf(objects).metadata.namespace);
});

Deno.test("deploy/kubernetes/cleanup is the base with its component", async () => {
  assert.deepEqual(await kustomization("cleanup"), await withComponent("base", "cleanup"));
});

Deno.test("only the init container for sysctls is privileged", async () => {
  for (const mode of names) {
    for (const values of [["nodeSettings=true"], ["cleanup=true"]]) {
      const { containers, initContainers } =
        daemonSetOf(await chart(`mode=${mode}`, ...values, ...own)).spec.template.spec;
      const privileged = [...containers, ...initContainers].filter(({ securityContext }) =>
        securityContext.privileged
      ).map(({ name }) => name);
      assert.deepEqual(privileged, values[0] === "nodeSettings=true" ? ["node-settings"] : []);
    }
  }
});

Deno.test("each mode has the capabilities that it uses", async () => {
  const added = async (...values: string[]) => {
    const [proxy] = daemonSetOf(await chart(...values, ...own)).spec.template.spec.containers;
    const { add, drop } = proxy.securityContext.capabilities;
    assert.deepEqual(drop, ["ALL"]);
    return add;
  };
  for (const mode of ["nftables", "iptables", "ipvs"]) {
    assert.deepEqual(await added(`mode=${mode}`), ["NET_ADMIN"]);
  }
  assert.deepEqual(await added("mode=userspace"), ["NET_ADMIN", "NET_RAW"]);
  assert.deepEqual(await added("mode=userspace", "afterEbpf=true"), ["NET_ADMIN", "NET_RAW", "BPF"]);
  assert.deepEqual(await added("mode=ebpf"), ["NET_ADMIN", "BPF", "PERFMON", "SYS_ADMIN"]);
});

Deno.test("another configuration has a ConfigMap of another name, which rolls the DaemonSet", async () => {
  const nameOf = async (...values: string[]) => {
    const { stdout } = await helm("template", ...[...own, ...values].flatMap((value) => ["--set", value]));
    const [, name] = /kind: ConfigMap\nmetadata:\n {2}name: (\S+)/.exec(stdout) ?? [];
    assert(stdout.includes(`configMap: { name: ${name} }`));
    return name;
  };
  assert.equal(await nameOf(), await nameOf());
  assert.notEqual(await nameOf(), await nameOf("configuration.iptables.masqueradeAll=true"));
});

Deno.test("the probes follow the port of the configuration", async () => {
  const portOf = async (...values: string[]) =>
    daemonSetOf(await chart(...values, ...own)).spec.template.spec.containers[0].ports[0].containerPort;
  for (
    const [address, port] of Object.entries({ "0.0.0.0:10300": 10300, "[::]:10400": 10400, "::": 10256 })
  ) {
    assert.equal(await portOf(`configuration.healthzBindAddress=${address}`), port, address);
  }
});

Deno.test("helm finds nothing to complain about in the chart", async () => {
  for (const mode of names) {
    const values = [`mode=${mode}`, ...own].flatMap((value) => ["--set", value]);
    const { code, stdout, stderr } = await helm("lint", "--strict", ...values);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /1 chart\(s\) linted, 0 chart\(s\) failed/);
  }
});

Deno.test("a wrong value is one message that names it and what it must be", async () => {
  const complaints: readonly [readonly string[], RegExp][] = [
    [
      ["mode=nonsense", ...own],
      /'\/mode': value must be one of 'nftables', 'iptables', 'ipvs', 'ebpf', 'userspace', 'auto'/,
    ],
    [["mod=ebpf", ...own], /additional properties 'mod' not allowed/],
    [["apiServer=192.0.2.1"], /'\/apiServer': '192\.0\.2\.1' does not match pattern/],
    [[], /apiServer: must be the address of the API server, such as https:/],
    [["configuration.mode=ebpf", ...own], /configuration\.mode: set mode instead/],
    [
      ["exposeMetrics=true", "configuration.metricsBindAddress=192.0.2.1:9", ...own],
      /exposeMetrics: sets configuration\.metricsBindAddress itself/,
    ],
    [["existingConfigMap=kube-proxy", ...own], /existingConfigMap: has the whole configuration/],
  ];
  for (const [values, message] of complaints) {
    const { code, stderr } = await helm("template", ...values.flatMap((value) => ["--set", value]));
    assert.equal(code, 1, values.join());
    assert.match(stderr, message);
  }
});
