import assert from "node:assert/strict";
import { join } from "node:path/posix";
import { parse } from "yaml";
import { modes } from "../../../backends/registry.ts";
import { documentFromFile } from "../../../core/config/document/from_file.ts";

const root = new URL("../../../", import.meta.url).pathname;
const base = join(root, "deploy/kubernetes/base");
const overlays = join(root, "deploy/kubernetes/overlays");

function read(...path: string[]): string {
  return Deno.readTextFileSync(join(...path));
}

interface DaemonSet {
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}

interface PodSpec {
  readonly containers: {
    readonly image: string;
    readonly args: string[];
    readonly securityContext: {
      readonly privileged?: boolean;
      readonly capabilities: { readonly drop: string[]; readonly add: string[] };
    };
    readonly volumeMounts: { readonly mountPath: string; readonly readOnly?: boolean }[];
  }[];
}

function containerOf(...path: string[]): PodSpec["containers"][number] {
  const [container] = (parse(read(...path)) as DaemonSet).spec.template.spec.containers;
  assert(container !== undefined);
  return container;
}

Deno.test("deploy/kubernetes has an overlay for each mode, whose configuration selects it", async () => {
  const names = [...Deno.readDirSync(overlays)].map(({ name }) => name);
  assert.deepEqual(names.sort(), modes.map(({ name }) => name).sort());
  for (const name of names) {
    // The overlay of the default mode adds nothing to the base.
    const path = name === modes[0].name ? join(base, "config.conf") : join(overlays, name, "config.conf");
    const { document, warnings } = await documentFromFile(path, read(path));
    assert.deepEqual(warnings, [], path);
    assert.equal(document.mode, name);
  }
});

Deno.test("the configurations of the overlays differ only in their mode", () => {
  const common = read(base, "config.conf").replace(/^mode: .*$/m, "");
  for (const { name } of modes.slice(1)) {
    assert.equal(read(overlays, name, "config.conf").replace(/^mode: .*$/m, ""), common);
  }
});

Deno.test("no DaemonSet of deploy/kubernetes is privileged or keeps capabilities that it does not name", () => {
  for (
    const container of [containerOf(base, "daemonset.yaml"), containerOf(overlays, "ebpf", "daemonset.yaml")]
  ) {
    assert.equal(container.securityContext.privileged, undefined);
    assert.deepEqual(container.securityContext.capabilities.drop, ["ALL"]);
    assert(container.securityContext.capabilities.add.includes("NET_ADMIN"));
  }
});

Deno.test("only the init container of node-settings is privileged, and it does nothing else", () => {
  const component = parse(
    read(root, "deploy/kubernetes/components/node-settings/daemonset.yaml"),
  ) as { spec: { template: { spec: { initContainers: PodSpec["containers"]; containers?: unknown } } } };
  const { initContainers, containers } = component.spec.template.spec;
  assert.equal(containers, undefined);
  assert.equal(initContainers.length, 1);
  const [settings] = initContainers;
  const proxy = containerOf(base, "daemonset.yaml");
  assert.deepEqual(settings?.args, [...proxy.args, "--init-only"]);
  assert.equal(settings.image, proxy.image);
});

Deno.test("the overlay of mode ebpf repeats the arguments of the base, because it replaces the list", () => {
  const ours = containerOf(overlays, "ebpf", "daemonset.yaml").args;
  for (const argument of containerOf(base, "daemonset.yaml").args) assert(ours.includes(argument), argument);
});

Deno.test("the DaemonSet of every mode can remove what mode ebpf has pinned, which would stay in force", () => {
  const mount = containerOf(base, "daemonset.yaml").volumeMounts.find(({ mountPath }) =>
    mountPath === "/sys/fs/bpf"
  );
  assert(mount !== undefined);
  assert.notEqual(mount.readOnly, true);
});

Deno.test("the manifests and the chart run the image of the version in deno.json", () => {
  const { version } = JSON.parse(read(root, "deno.json")) as { version: string };
  assert.equal(containerOf(base, "daemonset.yaml").image, `localhost/proxy:${version}`);
  const cleanup = parse(read(root, "deploy/kubernetes/components/cleanup/daemonset.yaml"));
  assert.equal(cleanup.spec.template.spec.initContainers[0].image, `localhost/proxy:${version}`);
  const chart = parse(read(root, "deploy/helm/proxy/Chart.yaml"));
  assert.deepEqual([chart.version, chart.appVersion], [version, version]);
});

Deno.test("the cluster runs the versions that scripts/peers.sh builds", () => {
  const version = (name: string) =>
    new RegExp(`^${name}=(\\S+)`, "m").exec(read(root, "scripts/peers.sh"))?.[1];
  assert.match(
    read(root, "scripts/cluster/settings.sh"),
    new RegExp(`^kubernetes_version=${version("KUBERNETES")}$`, "m"),
  );
  assert(read(root, "scripts/cluster/kube-proxy.yaml").includes(`kube-proxy:${version("KUBERNETES")}`));
  for (const file of ["images.sh", "coredns.yaml"]) {
    assert(read(root, "scripts/cluster", file).includes(`coredns:${version("COREDNS")}`), file);
  }
});

Deno.test("the configuration of the Debian package loads without warnings, and names the file that the unit waits for", async () => {
  const path = join(root, "deploy/debian/config.conf");
  const { document, warnings } = await documentFromFile(path, read(path));
  assert.deepEqual(warnings, []);
  assert.equal(document.mode, modes[0].name);
  const unit = read(root, "deploy/systemd/proxy.service");
  assert(unit.includes(`ConditionPathExists=|${document.clientConnection.kubeconfig}\n`));
});
