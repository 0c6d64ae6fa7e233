import assert from "node:assert/strict";
import type { Family } from "../../../core/net/protocol.ts";
import { parseScenario, type Step } from "../../conformance/format/scenario.ts";
import { runScenario } from "../../conformance/runner/runner.ts";
import { ManifestSubject } from "../../conformance/subjects/subject.ts";
import { Lab } from "../../lab/lab.ts";

/** behaviour §5.2, "Localhost NodePorts", and Kubernetes' e2e tests of the feature. */
const scenarios: Readonly<Record<string, string>> = {
  "TCP node ports on loopback addresses lead to pods of every node": `
given:
  - service: { name: web, type: NodePort, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [pod-a, pod-d] }
  - service: { name: dns, type: NodePort, ports: [{ port: 53, protocol: UDP, nodePort: 30053 }] }
  - endpoints: { of: dns, ready: [pod-b], ports: [{ port: 8080, protocol: UDP }] }
expect:
  - { from: node, to: "loopback:30080", reaches: [pod-a, pod-d], source: node }
  - { from: node, to: "dns/loopback:30053", answer: refused }
  - { from: [pod-b, outside, node], to: "node:30080", reaches: [pod-a, pod-d] }
  - { from: pod-b, to: "loopback:30080", answer: refused }
then:
  - endpoints: { of: web, ready: [pod-c] }
  - expect: { from: node, to: "loopback:30080", reaches: [pod-c] }
  - endpoints: { of: web, notReady: [pod-c] }
  - expect: { from: node, to: "loopback:30080", answer: refused }
  - endpoints: { of: web, ready: [pod-b] }
  - restart: SIGKILL
  - expect: { from: node, to: "loopback:30080", reaches: [pod-b] }
  - open: { as: long, from: node, to: "loopback:30080" }
  - endpoints: { of: web, ready: [pod-b, pod-c] }
  - send: { over: long, reaches: same }
`,
  "session affinity binds the connections from a loopback address to one pod": `
given:
  - service: { name: web, type: NodePort, affinity: 10800, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [pod-a, pod-b, pod-c] }
expect:
  - { from: node, to: "loopback:30080", reaches: one, as: first }
  - { from: node, to: "loopback:30080", reaches: same as first }
`,
  "with externalTrafficPolicy Local, node ports on loopback addresses lead to pods of this node": `
given:
  - service: { name: web, type: NodePort, externalTrafficPolicy: Local, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [pod-a, pod-d] }
expect:
  - { from: node, to: "loopback:30080", reaches: [pod-a] }
then:
  - endpoints: { of: web, ready: [pod-d] }
  - expect: { from: node, to: "loopback:30080", answer: refused }
`,
  "a port that a program of the node holds is left to it": `
given:
  - listen: 30080
  - service: { name: web, type: NodePort, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [pod-a] }
expect:
  - { from: node, to: "loopback:30080", reaches: [node] }
  - { from: outside, to: "node:30080", reaches: [pod-a] }
`,
};
const flags = [
  "--feature-gates=KubeProxyNFTablesLocalhostNodePorts=true",
  "--nodeport-addresses=primary,localhost",
];

/**
 * Another change, which is in force only after the listeners have followed the one before: the runner waits for the
 * rules, and listeners follow them.
 */
const { steps: settling } = parseScenario(
  "settling",
  `name: settling
why: listeners follow the rules
given:
  - wait: 0.001
  - service: { name: other, ports: [{ port: 99 }] }
`,
);

function withSettling(step: Step, index: number, steps: readonly Step[]): readonly Step[] {
  const previous = steps[index - 1];
  const isFirstLook = "expect" in step && previous !== undefined && !("expect" in previous);
  return isFirstLook ? [...settling, step] : [step];
}

Deno.test("with the feature gate, node ports answer on loopback addresses in mode nftables", async (t) => {
  await using lab = await Lab.create();
  await using subject = new ManifestSubject(lab, "nftables");
  for (const [name, text] of Object.entries(scenarios)) {
    const { steps, ...scenario } = parseScenario(name, `name: ${name}\nwhy: behaviour §5.2\n${text}`);
    const settled = { ...scenario, flags, steps: steps.flatMap(withSettling) };
    for (const family of ["IPv4", "IPv6"] satisfies Family[]) {
      await t.step(`${name} (${family})`, () => runScenario(lab, subject, settled, [family]));
    }
  }
  await t.step("the node routes nothing to loopback addresses for it", async () => {
    const read = ["cat", "/proc/sys/net/ipv4/conf/all/route_localnet"];
    assert.equal((await lab.run("node", read)).stdout.trim(), "0");
  });
  await t.step("the metrics have kube-proxy's names", async () => {
    const { stdout } = await lab.run("node", ["curl", "-s", "http://127.0.0.1:10249/metrics"]);
    assert.match(stdout, /^kubeproxy_nftables_localhost_nodeport_listeners\{ip_family="IPv6"\} \d+$/m);
  });
  assert.match(subject.log, /A node port is not served on a loopback address.*127\.0\.0\.1:30080/);
});
