import assert from "node:assert/strict";
import { type ConfigDocument, defaultDocument } from "../../../core/config/document/document.ts";
import { documentFromFile, documentToYaml } from "../../../core/config/document/from_file.ts";
import { UserError } from "../../../core/user_error.ts";

const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

async function read(text: string): Promise<ConfigDocument> {
  const { document, warnings } = await documentFromFile("/c.yaml", header + text);
  assert.deepEqual(warnings, []);
  return document;
}

async function errorOf(text: string): Promise<string> {
  const error = await documentFromFile("/c.yaml", text).then(() => undefined, (error: unknown) => error);
  assert(error instanceof UserError, `${text} was accepted`);
  return error.message;
}

Deno.test("an empty file means the defaults", async () => {
  assert.deepEqual(await read(""), defaultDocument());
});

/** The file that `kubeadm init` writes. null, "" and 0s stand for missing fields. */
const kubeadm = `bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
`;

Deno.test("the file of kubeadm means the defaults and the fields that it sets", async () => {
  const expected = defaultDocument();
  expected.clientConnection.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf";
  expected.clusterCIDR = "10.244.0.0/16";
  assert.deepEqual(await read(kubeadm), expected);
});

Deno.test("the file has our own field statusPage, which is on by default", async () => {
  assert.equal((await read("mode: nftables\n")).statusPage, true);
  assert.equal((await read("statusPage: false\n")).statusPage, false);
});

Deno.test("the file has our own fields", async () => {
  assert.equal((await read("ipvs: { localFallback: true }\n")).ipvs.localFallback, true);
  const { trafficMetrics, trafficMetricsMaxServices } = await read(
    "trafficMetrics: full\ntrafficMetricsMaxServices: 0\n",
  );
  assert.deepEqual([trafficMetrics, trafficMetricsMaxServices], ["full", 0]);
});

Deno.test("0 is a value in fields that are pointers in kube-proxy", async () => {
  const { conntrack, iptables, oomScoreAdj } = await read(
    "conntrack: { maxPerCore: 0, tcpCloseWaitTimeout: 0s }\niptables: { masqueradeBit: 0 }\noomScoreAdj: 0\n",
  );
  assert.deepEqual(
    [conntrack.maxPerCore, conntrack.tcpCloseWaitTimeout, iptables.masqueradeBit, oomScoreAdj],
    [0, "0s", 0, 0],
  );
});

Deno.test("an IPv6 bindAddress moves the default addresses to IPv6, and ports are appended", async () => {
  const moved = await read('bindAddress: "fd00::1"\n');
  assert.deepEqual([moved.healthzBindAddress, moved.metricsBindAddress], ["[::]:10256", "[::1]:10249"]);
  const appended = await read('healthzBindAddress: 192.0.2.1\nmetricsBindAddress: "::"\n');
  assert.deepEqual([appended.healthzBindAddress, appended.metricsBindAddress], [
    "192.0.2.1:10256",
    "[::]:10249",
  ]);
});

Deno.test("a file may be JSON, and flushFrequency may be nanoseconds", async () => {
  const { document } = await documentFromFile(
    "/c.json",
    '{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "logging": {"flushFrequency": 7000000000}}',
  );
  assert.equal(document.logging.flushFrequency, "7s");
});

Deno.test("unknown and duplicate fields are warnings", async () => {
  const { document, warnings } = await documentFromFile(
    "/c.yaml",
    header + "mode: iptables\nmode: nftables\nnftables: { masqBit: 3, masqueradeBit: 4 }\ncolour: red\n",
  );
  assert.deepEqual(warnings, [
    "unknown field nftables.masqBit is ignored",
    "unknown field colour is ignored",
    "line 4: duplicate field; the last value counts",
  ]);
  assert.equal(document.mode, "nftables");
  assert.equal(document.nftables.masqueradeBit, 4);
});

Deno.test("a file is read as YAML 1.1, with merge keys", async () => {
  const { ipvs, iptables, nftables, oomScoreAdj } = await read(
    "ipvs: { strictARP: yes }\niptables: &bit { masqueradeBit: 016, masqueradeAll: on }\n" +
      "nftables: { <<: *bit, masqueradeAll: off }\noomScoreAdj: -0x10\n",
  );
  assert.deepEqual(
    [ipvs.strictARP, iptables.masqueradeBit, iptables.masqueradeAll, oomScoreAdj],
    [true, 14, true, -16],
  );
  assert.deepEqual([nftables.masqueradeBit, nftables.masqueradeAll], [14, false]);
});

Deno.test("an error names the file and the place", async () => {
  assert.equal(
    await errorOf(header + "nftables: { minSyncPeriod: 5 }"),
    "/c.yaml: nftables.minSyncPeriod 5: must be a duration such as 30s",
  );
  assert.equal(
    await errorOf(header + "iptables: { syncPeriod: soon }"),
    '/c.yaml: iptables.syncPeriod "soon": must be a duration such as 30s, 1m30s or 100ms',
  );
  assert.equal(
    await errorOf(header + "bindAddressHardFail: maybe"),
    '/c.yaml: bindAddressHardFail "maybe": must be true or false',
  );
  assert.equal(
    await errorOf(header + "oomScoreAdj: 1.5"),
    "/c.yaml: oomScoreAdj 1.5: must be a whole number",
  );
  assert.equal(
    await errorOf(header + "nodePortAddresses: primary"),
    '/c.yaml: nodePortAddresses "primary": must be a list',
  );
  assert.equal(await errorOf(header + "conntrack: 5"), "/c.yaml: conntrack 5: must be a map of settings");
  assert.match(await errorOf(header + "a: [1"), /^\/c\.yaml:3: /);
  for (
    const text of ["", "[]", "kind: KubeProxyConfiguration", "apiVersion: v1\nkind: KubeProxyConfiguration"]
  ) {
    assert.equal(
      await errorOf(text),
      "/c.yaml: not a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1",
    );
  }
});

Deno.test("a written document reads back the same", async () => {
  const document = {
    ...defaultDocument(),
    featureGates: { Some: true },
    nodePortAddresses: [
      "primary",
      "fd00::/8",
      "yes",
      "off",
      "N",
      "016",
      "0o16",
      "1_000",
      "~",
      "0b1",
      "<<",
      "1e3",
    ],
  };
  const { document: again, warnings } = await documentFromFile("/c.yaml", await documentToYaml(document));
  assert.deepEqual(again, document);
  assert.deepEqual(warnings, []);
});

Deno.test("a written file has fields that kube-proxy does not have only if they are not the defaults", async () => {
  assert.doesNotMatch(await documentToYaml(defaultDocument()), /statusPage|trafficMetrics/);
  const without = { ...defaultDocument(), statusPage: false };
  assert.match(await documentToYaml(without), /^statusPage: false$/m);
});
