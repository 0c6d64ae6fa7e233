import assert from "node:assert/strict";
import { iptables } from "../../../backends/iptables/mode.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import { modes } from "../../../backends/registry.ts";
import type { Modes } from "../../../core/backend/mode.ts";
import { parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { defaultDocument } from "../../../core/config/document/document.ts";
import { allFlags } from "../../../core/config/flags/table.ts";
import { documentFromFlags } from "../../../core/config/document/from_flags.ts";
import { formatAddress, formatCidr } from "../../../core/net/address.ts";
import { UserError } from "../../../core/user_error.ts";
import { load } from "./loaded.ts";

async function errorOf(
  args: readonly string[],
  file?: string,
  modes?: Modes,
): Promise<string> {
  const error = await load(args, file, modes).then(() => undefined, (error: unknown) => error);
  assert(error instanceof UserError, `${args.join(" ")} was accepted`);
  return error.message;
}

const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

Deno.test("without flags the proxy runs in mode nftables with the defaults of kube-proxy", async () => {
  const { config } = await load([]);
  assert.equal(config.mode.name, "nftables");
  assert.equal(config.nodeName, "node-a");
  assert.deepEqual(config.source, {
    kind: "api",
    kubeconfig: "",
    master: "",
    watchServiceCidrs: true,
  });
  assert.deepEqual(config.detectLocal, { mode: "ClusterCIDR", clusterCidrs: [] });
  assert.deepEqual(config.nodePortAddresses, ["primary"]);
  assert.equal(config.masqueradeBit, 14);
  assert.equal(config.syncPeriodMs, 30_000);
  assert.equal(config.minSyncPeriodMs, 0);
  assert.deepEqual(config.healthz, { hostname: "0.0.0.0", port: 10256 });
  assert.deepEqual(config.metrics, { hostname: "127.0.0.1", port: 10249 });
  assert.equal(config.bindAddress, undefined);
  assert.equal(config.file, undefined);
});

Deno.test("the name of the node is the override, trimmed and in lower case", async () => {
  assert.equal((await load(["--hostname-override= Worker-1 "])).config.nodeName, "worker-1");
  assert.equal(
    await errorOf(["--hostname-override=  "]),
    '--hostname-override "  ": must be the name of the Node this proxy runs on, not blank',
  );
});

Deno.test("addresses, ranges and words are parsed", async () => {
  const { config } = await load([
    "--cluster-cidr=10.0.0.0/8,fd00::/64",
    "--bind-address=192.0.2.7",
    "--nodeport-addresses=localhost,192.0.2.0/24",
    "--healthz-bind-address=::",
    "--metrics-bind-address=0.0.0.0:9000",
  ]);
  assert(config.detectLocal.mode === "ClusterCIDR");
  assert.deepEqual(config.detectLocal.clusterCidrs.map(formatCidr), ["10.0.0.0/8", "fd00::/64"]);
  assert.equal(config.bindAddress && formatAddress(config.bindAddress), "192.0.2.7");
  const [word, range] = config.nodePortAddresses;
  assert.equal(word, "localhost");
  assert.equal(typeof range === "object" && formatCidr(range), "192.0.2.0/24");
  assert.deepEqual(config.healthz, { hostname: "::", port: 10256 });
  assert.deepEqual(config.metrics, { hostname: "0.0.0.0", port: 9000 });
});

Deno.test("an empty address or port 0 serves nothing", async () => {
  const { config } = await load(["--healthz-bind-address=", "--metrics-port=0"]);
  assert.equal(config.healthz, undefined);
  assert.equal(config.metrics, undefined);
});

Deno.test("an unknown mode is rejected with the modes of the program", async () => {
  assert.equal(
    await errorOf(["--proxy-mode=kernelspace"]),
    '--proxy-mode "kernelspace": must be nftables, iptables, ipvs, ebpf, userspace, auto or blank (nftables)',
  );
  assert.equal(
    await errorOf(["--proxy-mode=ipvs"], "", [iptables, nftables]),
    '--proxy-mode "ipvs": must be iptables, nftables, auto or blank (iptables)',
  );
  assert.equal((await load(["--proxy-mode="])).config.mode.name, "nftables");
  assert.match(
    await errorOf(["--proxy-mode=ipvs", "--feature-gates=KubeProxyIPVS=false"]),
    /feature gate KubeProxyIPVS is off/,
  );
});

Deno.test("the feature gate MultiCIDRServiceAllocator decides whether ServiceCIDRs are watched", async () => {
  const { config } = await load(["--feature-gates=MultiCIDRServiceAllocator=false"]);
  assert.equal(config.source.kind === "api" && config.source.watchServiceCidrs, false);
});

Deno.test("node ports answer on the addresses of the Node by default in modes nftables, ebpf and userspace, on all in the others", async () => {
  for (const { name } of modes) {
    const expected = ["nftables", "ebpf", "userspace"].includes(name) ? ["primary"] : ["all"];
    assert.deepEqual((await load([`--proxy-mode=${name}`])).config.nodePortAddresses, expected, name);
  }
});

Deno.test("a validation error names the flag, the value and the allowed values", async () => {
  const cases: Record<string, string> = {
    "--cluster-cidr=": '--cluster-cidr "": must be an address range; omit the flag if there is none',
    "--cluster-cidr=10.0.0.0":
      '--cluster-cidr "10.0.0.0": must be an address range such as 10.100.0.0/16 or fde4:8dba:82e1::/48',
    "--cluster-cidr=10.0.0.0/8,11.0.0.0/8":
      '--cluster-cidr "10.0.0.0/8,11.0.0.0/8": must be one address range, or one per family',
    "--iptables-masquerade-bit=32": "--iptables-masquerade-bit 32: must be between 0 and 31",
    "--iptables-sync-period=0s": '--iptables-sync-period "0s": must be more than 0',
    "--iptables-min-sync-period=-1s": '--iptables-min-sync-period "-1s": must be 0 or more',
    "--iptables-min-sync-period=1m":
      '--iptables-min-sync-period "1m0s": must be at most the sync period of 30s',
    "--config-sync-period=0s": '--config-sync-period "0s": must be more than 0',
    "--oom-score-adj=1001": "--oom-score-adj 1001: must be between -1000 and 1000",
    "--conntrack-min=-1": "--conntrack-min -1: must be 0 or more",
    "--conntrack-udp-timeout=-1s": '--conntrack-udp-timeout "-1s": must be 0 or more',
    "--kube-api-burst=-1": "--kube-api-burst -1: must be 0 or more",
    "--healthz-bind-address=0.0.0.0:0":
      '--healthz-bind-address "0.0.0.0:0": must be an IP address and a port (1-65535), such as 0.0.0.0:10256 or [::]:10256',
    "--nodeport-addresses=primary,primary": '--nodeport-addresses "primary": must be written only once',
    "--nodeport-addresses=eth0":
      '--nodeport-addresses "eth0": must be an address range such as 10.0.0.0/8, or one of the words primary, localhost, all',
    "--detect-local-mode=Cidr":
      '--detect-local-mode "Cidr": must be one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix',
    "--detect-local-mode=BridgeInterface":
      '--pod-bridge-interface "": must be the name of the pods\' bridge in detect-local mode BridgeInterface',
    "--detect-local-mode=InterfaceNamePrefix":
      '--pod-interface-name-prefix "": must be a prefix in detect-local mode InterfaceNamePrefix',
    "--show-hidden-metrics-for-version=1.20":
      '--show-hidden-metrics-for-version "1.20": must be the previous minor version, 1.36',
    "--logging-format=xml": '--logging-format "xml": must be one of text, json',
    "--v=-1": "-v -1: must be 0 or more",
    "--vmodule=a=x": '--vmodule "a=NaN": must be pattern=N',
  };
  for (const [arg, message] of Object.entries(cases)) assert.equal(await errorOf([arg]), message);
});

Deno.test("all mistakes are reported at once", async () => {
  assert.equal(
    await errorOf(["--oom-score-adj=5000", "--iptables-masquerade-bit=99"]),
    "2 settings are wrong:\n" +
      "  --iptables-masquerade-bit 99: must be between 0 and 31\n" +
      "  --oom-score-adj 5000: must be between -1000 and 1000",
  );
});

Deno.test("manifests and an API server exclude each other", async () => {
  assert.deepEqual((await load(["--manifests=/m"])).config.source, { kind: "manifests", directory: "/m" });
  assert.match(await errorOf(["--manifests=/m", "--kubeconfig=/k"]), /^--kubeconfig "\/k": must be omitted/);
  assert.match(
    await errorOf(["--config=/c", "--manifests=/m", "--master=x"], header),
    /^--master "x": must be omitted/,
  );
  assert.match(await errorOf(["--manifests=/m", "--master=x"]), /^--master "x": must be omitted/);
});

Deno.test("settings of other modes are not checked and have no effect", async () => {
  const { config } = await load(["--ipvs-min-sync-period=5m", "--ipvs-exclude-cidrs=nonsense"]);
  assert.equal(config.minSyncPeriodMs, 0);
  assert.match(
    await errorOf(["--proxy-mode=ipvs", "--ipvs-exclude-cidrs=nonsense"]),
    /nonsense/,
  );
});

Deno.test("the iptables flags set the sync periods of mode nftables, the ipvs flags those of mode ipvs", async () => {
  const args = ["--iptables-min-sync-period=2s", "--ipvs-min-sync-period=3s", "--iptables-masquerade-bit=15"];
  const nftables = (await load([...args, "--proxy-mode=nftables"])).config;
  assert.equal(nftables.minSyncPeriodMs, 2000);
  assert.equal(nftables.masqueradeBit, 15);
  assert.equal((await load([...args, "--proxy-mode=ipvs"])).config.minSyncPeriodMs, 3000);
});

Deno.test("the settings of mode iptables come from its flags or from its section of a file", async () => {
  const flags = (await load(
    [
      "--proxy-mode=iptables",
      "--iptables-masquerade-bit=15",
      "--masquerade-all",
      "--iptables-min-sync-period=2s",
      "--iptables-sync-period=5s",
    ],
  )).config;
  const file = header +
    "mode: iptables\niptables: { masqueradeBit: 15, masqueradeAll: true, minSyncPeriod: 2s, " +
    "syncPeriod: 5s }\nnftables: { masqueradeBit: 3, minSyncPeriod: 7s }\n";
  for (const config of [flags, (await load(["--config=/c.yaml"], file)).config]) {
    const { masqueradeBit, masqueradeAll, minSyncPeriodMs, syncPeriodMs, nodePortAddresses } = config;
    assert.equal(config.mode.name, "iptables");
    assert.deepEqual([masqueradeBit, masqueradeAll, minSyncPeriodMs, syncPeriodMs], [15, true, 2000, 5000]);
    assert.deepEqual(nodePortAddresses, ["all"]);
  }
});

Deno.test("node ports answer on loopback addresses in mode iptables, unless they are switched off", async () => {
  const isOn = async (...args: readonly string[]) => (await load(args)).config.localhostNodePorts;
  assert.equal(await isOn("--proxy-mode=iptables"), true);
  assert.equal(await isOn("--proxy-mode=iptables", "--iptables-localhost-nodeports=false"), false);
  assert.equal(await isOn("--proxy-mode=nftables"), false);
  assert.equal(await isOn(), false);
});

Deno.test("a feature gate serves node ports on loopback addresses in mode nftables, for the families that are named", async () => {
  const gate = "--feature-gates=KubeProxyNFTablesLocalhostNodePorts=true";
  const shown = async (...args: readonly string[]) => {
    const { config, warnings } = await load(["--cluster-cidr=10.0.0.0/8", ...args]);
    return [config.localhostFamilies, warnings];
  };
  const both = ["IPv4", "IPv6"];
  assert.deepEqual(await shown(gate, "--nodeport-addresses=primary,localhost"), [both, []]);
  assert.deepEqual(await shown(gate, "--nodeport-addresses=127.0.0.0/8"), [["IPv4"], []]);
  assert.deepEqual(await shown(gate, "--nodeport-addresses=::1/128,0.0.0.0/0"), [["IPv6"], []]);
  assert.deepEqual((await shown(gate, "--nodeport-addresses=all"))[0], []);
  assert.deepEqual((await shown(gate, "--nodeport-addresses=126.0.0.0/7"))[0], []);
  assert.deepEqual(await shown(gate, "--proxy-mode=iptables", "--nodeport-addresses=localhost"), [[], []]);
  assert.deepEqual(await shown("--nodeport-addresses=primary,localhost"), [[], [
    "node ports do not answer on loopback addresses in mode nftables while the feature gate " +
    "KubeProxyNFTablesLocalhostNodePorts is off",
  ]]);
  const file = header + "mode: nftables\nclusterCIDR: 10.0.0.0/8\nnodePortAddresses: [localhost]\n" +
    "featureGates: { KubeProxyNFTablesLocalhostNodePorts: true }\n";
  const { config, warnings } = await load(["--config=/c.yaml"], file);
  assert.deepEqual([config.localhostFamilies, warnings], [both, []]);
});

Deno.test("node-port addresses that are most likely a mistake are warnings in mode iptables", async () => {
  const warningsFor = async (...args: readonly string[]) =>
    (await load(["--proxy-mode=iptables", "--cluster-cidr=10.0.0.0/8", ...args])).warnings;
  assert.deepEqual(await warningsFor(), [
    "node ports answer on every local address; set --nodeport-addresses=primary to restrict them",
  ]);
  assert.deepEqual(await warningsFor("--nodeport-addresses=primary"), []);
  assert.deepEqual(await warningsFor("--nodeport-addresses=localhost,primary"), []);
  assert.deepEqual(
    await warningsFor("--nodeport-addresses=localhost", "--iptables-localhost-nodeports=false"),
    [
      "node ports do not answer on loopback addresses while iptables.localhostNodePorts is off",
    ],
  );
});

Deno.test("every flag with fields sets exactly those fields of the document", () => {
  const samples: Record<string, string> = {
    bool: "", // replaced by the opposite of the default
    int: "7",
    number: "7",
    duration: "7s",
    string: "seven",
    ip: "192.0.2.7",
    "ip:port": "192.0.2.7:7",
    list: "seven",
    switches: "Seven=true",
  };
  const before = flatten(defaultDocument());
  for (const [name, { type, fields, default: value }] of Object.entries(allFlags(modes))) {
    if (fields === undefined) continue;
    const sample = type === "bool" ? String(value === false) : samples[type];
    const after = flatten(documentFromFlags(parseCommandLine([`--${name}=${sample}`], modes), modes));
    const changed = [...after.keys()].filter((field) => after.get(field) !== before.get(field));
    assert.deepEqual(changed.sort(), [...fields].sort(), name);
  }
});

/** Paths and values of all leaves. Lists and feature gates are leaves. */
function flatten(value: unknown, path = ""): Map<string, string> {
  const isSection = typeof value === "object" && value !== null && !Array.isArray(value) &&
    path !== "featureGates";
  if (!isSection) return new Map([[path, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap((
      [name, inner],
    ) => [...flatten(inner, path === "" ? name : `${path}.${name}`)]),
  );
}

Deno.test("settings that are accepted but have no effect are warnings", async () => {
  const { warnings } = await load([
    "--cluster-cidr=10.0.0.0/8",
    "--profiling",
    "--conntrack-min=7",
    "--oom-score-adj=0",
    "--vmodule=proxier=4",
    "--healthz-port=10256",
    "--feature-gates=KubeProxyNFTablesLocalhostNodePorts=true,SomethingElse=true",
  ]);
  assert.deepEqual(warnings, [
    "--healthz-port is deprecated: use --healthz-bind-address",
    "feature gate KubeProxyNFTablesLocalhostNodePorts has no effect without a loopback range among the node-port " +
    "addresses; add localhost to --nodeport-addresses",
    "feature gate SomethingElse has no effect in this proxy",
    "vmodule has no effect: all files have the same verbosity",
  ]);
  assert.deepEqual((await load(["--cluster-cidr=10.0.0.0/8"])).warnings, []);
});

Deno.test("settings of conntrack and the OOM score are applied in every mode", async () => {
  const args = [
    "--conntrack-udp-timeout=7s",
    "--conntrack-min=7",
    "--conntrack-tcp-be-liberal",
    "--oom-score-adj=3",
  ];
  for (const mode of ["nftables", "iptables", "ipvs", "ebpf"]) {
    const { config, warnings } = await load(["--cluster-cidr=10.0.0.0/8", `--proxy-mode=${mode}`, ...args]);
    assert.deepEqual(config.conntrack, {
      maxPerCore: 32768,
      min: 7,
      tcpBeLiberal: true,
      tcpEstablishedTimeoutMs: 86_400_000,
      tcpCloseWaitTimeoutMs: 3_600_000,
      udpTimeoutMs: 7000,
      udpStreamTimeoutMs: 0,
    });
    assert.equal(config.oomScoreAdj, 3);
    assert(!warnings.some((warning) => /conntrack|oom/i.test(warning)), warnings.join());
  }
});

Deno.test("a file replaces the flags, with a warning, except for the name of the node, the server and logging", async () => {
  const file = header + "hostnameOverride: of-file\nlogging: { verbosity: 1 }\nclusterCIDR: 10.0.0.0/8\n";
  const { config, warnings } = await load(
    ["--config=/c.yaml", "--masquerade-all", "--hostname-override=of-flag", "-v=5", "--master=https://h"],
    file,
  );
  assert.equal(config.masqueradeAll, false);
  assert.equal(config.nodeName, "of-flag");
  assert.equal(config.logging.verbosity, 5);
  assert.equal(config.source.kind === "api" && config.source.master, "https://h");
  assert.deepEqual(config.file, { path: "/c.yaml", text: file });
  assert.deepEqual(warnings, ["--masquerade-all has no effect, because the file /c.yaml replaces it"]);
});

Deno.test("--proxy-mode selects the mode if the file leaves it blank, and has no effect otherwise", async () => {
  const mode = async (file: string) => {
    const { config, warnings } = await load(["--config=/c.yaml", "--proxy-mode=iptables"], header + file);
    const overruled = warnings.filter((warning) => warning.includes("no effect"));
    return { name: config.mode.name, document: config.document.mode, overruled };
  };
  const selected = { name: "iptables", document: "iptables", overruled: [] };
  assert.deepEqual(await mode('mode: ""\n'), selected);
  assert.deepEqual(await mode("clusterCIDR: 10.0.0.0/8\n"), selected);
  const overruled = ["--proxy-mode has no effect, because the file /c.yaml replaces it"];
  assert.deepEqual(await mode("mode: nftables\n"), { name: "nftables", document: "nftables", overruled });
  assert.match(
    await errorOf(["--config=/c.yaml", "--proxy-mode=nonsense"], header),
    /^--proxy-mode "nonsense": must be nftables, /,
  );
});

Deno.test("a blank mode reads the section of iptables, whatever --proxy-mode selects", async () => {
  const file = `${header}iptables: { masqueradeBit: 9 }\nnftables: { masqueradeBit: 8 }\n`;
  assert.equal((await load(["--config=/c.yaml", "--proxy-mode=nftables"], file)).config.masqueradeBit, 9);
});

Deno.test("an error about a setting of a file names the file and the field", async () => {
  assert.equal(
    await errorOf(["--config=/c.yaml"], header + "oomScoreAdj: 5000"),
    "/c.yaml: oomScoreAdj 5000: must be between -1000 and 1000",
  );
  assert.match(
    await errorOf(["--config=/none.yaml"]),
    /^--config \/none\.yaml: cannot be read: no such file$/,
  );
});

Deno.test("a file with a blank mode keeps the meaning of its iptables section", async () => {
  const file = header + "iptables: { masqueradeAll: true, masqueradeBit: 3, minSyncPeriod: 2s }\n";
  const { config } = await load(["--config=/c.yaml"], file);
  assert.equal(config.mode.name, "nftables");
  assert.equal(config.masqueradeAll, true);
  assert.equal(config.masqueradeBit, 3);
  assert.equal(config.minSyncPeriodMs, 2000);
  assert.deepEqual(config.document.nftables, {
    masqueradeAll: true,
    masqueradeBit: 3,
    minSyncPeriod: "2s",
    syncPeriod: "30s",
  });
});

Deno.test("a flag of earlier releases of kube-proxy is accepted with a warning that says why it has no effect", async () => {
  const { warnings } = await load([
    "--cluster-cidr=10.0.0.0/8",
    "--logtostderr=false",
    "--resource-container=",
  ]);
  assert.deepEqual(warnings, [
    "--logtostderr is deprecated: it has no effect, because all log lines go to standard error; remove it",
    "--resource-container is deprecated: it has no effect, because systemd or the container runtime assigns the cgroup; remove it",
  ]);
  const { warnings: ofVersion } = await load(["--cluster-cidr=10.0.0.0/8", "--version=v1.30.0"]);
  assert.deepEqual(ofVersion, ["--version=v1.30.0 has no effect"]);
});
