import type { Family } from "../../core/net/protocol.ts";
import { parseScenario } from "../conformance/format/scenario.ts";
import { runScenario } from "../conformance/runner/runner.ts";
import { ManifestSubject } from "../conformance/subjects/subject.ts";
import { Lab } from "../lab/lab.ts";

/** EndpointSlices that people and operators write, and that no controller of Kubernetes would write so. */
const scenarios: Readonly<Record<string, string>> = {
  "a pod reaches itself through its service when its slice names no node": `
why: behaviour §4.3, "endpoint → itself through a service"
given:
  - service: { name: web, type: LoadBalancer, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [{ pod: pod-a, node: "" }] }
  - service: { name: dns, ports: [{ port: 53, protocol: UDP }] }
  - endpoints: { of: dns, ready: [{ pod: pod-b, node: "" }], ports: [{ port: 8080, protocol: UDP }] }
expect:
  - { from: pod-a, to: clusterIP, reaches: [pod-a], source: node }
  - { from: pod-a, to: "node:30080", reaches: [pod-a], source: node }
  - { from: pod-a, to: lb, reaches: [pod-a], source: node }
  - { from: pod-b, to: clusterIP, reaches: [pod-a], source: client }
  - { from: pod-b, to: dns/clusterIP, reaches: [pod-b], source: node }
then:
  - endpoints: { of: web, ready: [pod-a] }
  - expect: { from: pod-a, to: clusterIP, reaches: [pod-a], source: node }
  - endpoints: { of: web, ready: [{ pod: pod-a, node: "" }, { pod: pod-c, node: "" }] }
  - expect: { from: pod-c, to: clusterIP, reaches: [pod-a, pod-c] }
`,
  "services lead to endpoints whose addresses are in a service range": `
why: behaviour §5.2, cluster-ips-check is about connections that no service takes
given:
  - service: { name: web, type: LoadBalancer, externalIP: true, ports: [{ port: 80, nodePort: 30080 }] }
  - endpoints: { of: web, ready: [pod-d] }
  - manifest:
      apiVersion: networking.k8s.io/v1
      kind: ServiceCIDR
      metadata: { name: pods }
      spec: { cidrs: [10.244.2.0/28, "fd00:244:2::/120"] }
expect:
  - { from: [pod-a, node, outside], to: clusterIP, reaches: [pod-d] }
  - { from: [pod-a, node, outside], to: "node:30080", reaches: [pod-d] }
  - { from: [pod-a, node, outside], to: external, reaches: [pod-d] }
  - { from: [pod-a, node, outside], to: lb, reaches: [pod-d] }
  - { from: [pod-a, node, outside], to: "unallocated:80", answer: dropped }
  # As it arrives from another node, which has translated it.
  - { from: [pod-a, node], to: "pod-d:8080", reaches: [pod-d] }
`,
};

/** PROXY_MODE=ipvs needs a kernel with IPVS: scripts/vm.sh 6.1 command. */
const modes = Deno.env.get("PROXY_MODE")?.split(" ") ?? ["nftables", "iptables", "ebpf", "userspace"];

for (const mode of modes) {
  Deno.test(`mode ${mode} and slices written by hand`, async (t) => {
    await using lab = await Lab.create(mode === "ebpf");
    await using subject = new ManifestSubject(lab, mode);
    for (const [name, text] of Object.entries(scenarios)) {
      const scenario = parseScenario(name, `name: ${name}\n${text}`);
      for (const family of ["IPv4", "IPv6"] satisfies Family[]) {
        await t.step(`${name} (${family})`, () => runScenario(lab, subject, scenario, [family]));
      }
    }
  });
}
