import assert from "node:assert/strict";
import { addressesOfClient, parseClient } from "../../../core/explain/asked_client.ts";
import { explain } from "../../../core/explain/explain.ts";
import type { Explanation } from "../../../core/explain/explanation.ts";
import { parseQuestion } from "../../../core/explain/question.ts";
import { knowledgeFrom } from "./planted.ts";

/** A load balancer in each of the families, at addresses that the length of its name makes, whose addresses are open to 10.0.0.0/8 and fd00:1::/64, with one endpoint. */
function service(name: string, ...families: readonly ("IPv4" | "IPv6")[]): string {
  const pick = (IPv4: string, IPv6: string) =>
    families.map((family) => ({ IPv4, IPv6 })[family]).map((one) => JSON.stringify(one));
  const ips = pick(`10.96.0.${name.length}`, `fd00:96::${name.length}`);
  const ingress = pick(`203.0.113.${name.length}`, `2001:db8:7::${name.length}`).map((ip) => `{ip: ${ip}}`);
  const slices = families.map((family) => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${family.toLowerCase()}, namespace: default, labels: {kubernetes.io/service-name: ${name}}}
addressType: ${family}
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: ["${family === "IPv4" ? "10.244.1.5" : "fd00:244:1::5"}"], nodeName: here}]
---
`);
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec:
  type: LoadBalancer
  clusterIP: ${ips[0]}
  clusterIPs: [${ips}]
  ipFamilies: [${families}]
  ports: [{name: http, port: 80, protocol: TCP}]
  loadBalancerSourceRanges: [10.0.0.0/8, "fd00:1::/64"]
status: {loadBalancer: {ingress: [${ingress}]}}
---
${slices.join("")}`;
}

/** Asks about default/web of a node of both families. */
async function ask(yaml: string, from: string): Promise<Explanation> {
  const knowledge = knowledgeFrom(yaml, {}, ["IPv4", "IPv6"]);
  const question = parseQuestion("default/web");
  assert("about" in question);
  const client = parseClient(from, question);
  assert(!("problem" in client) && client.is !== "pod");
  const addresses = addressesOfClient(client, question, knowledge);
  assert(addresses === undefined || !("problem" in addresses));
  return await explain(knowledge, question, addresses);
}

const causesOf = ({ findings }: Explanation) => findings.map(({ cause }) => cause);
/** Families and verdicts of the walks, without repetition. */
const verdictsOf = ({ walks }: Explanation) => [
  ...new Set(walks.map(({ to, verdict }) => `${to.startsWith("[") ? "IPv6" : "IPv4"} ${verdict}`)),
];

Deno.test("source ranges of one family do not deny clients of the other one", async () => {
  const both = service("web", "IPv4", "IPv6");
  const admitted = await ask(both, "10.1.1.1");
  assert.deepEqual([causesOf(admitted), verdictsOf(admitted)], [["source-ranges"], ["IPv4 balanced"]]);
  const inIPv6 = await ask(both, "fd00:1::7");
  assert.deepEqual([causesOf(inIPv6), verdictsOf(inIPv6)], [["source-ranges"], ["IPv6 balanced"]]);
  const denied = await ask(both, "fd00:2::7");
  assert.deepEqual(causesOf(denied), ["source-range-denies"]);
  assert.match(denied.findings[0]?.about ?? "", /\(IPv6\)$/);
});

Deno.test("a client without an address of a family of the Service cannot reach it", async () => {
  const inIPv4 = await ask(service("web", "IPv4"), "fd00::9");
  assert.deepEqual([causesOf(inIPv4), inIPv4.walks], [["client-of-other-family"], []]);
  assert.equal(
    inIPv4.findings[0]?.text,
    "It has IPv4 addresses only, and the client's address fd00::9 is of the other family. " +
      "No connection of the client can reach it.",
  );
  const inIPv6 = await ask(service("web", "IPv6") + service("older", "IPv4"), "default/older");
  assert.deepEqual([causesOf(inIPv6), inIPv6.walks], [["client-of-other-family"], []]);
});

Deno.test("a client of both families is asked about in each family that the Service has", async () => {
  const both = service("web", "IPv4", "IPv6");
  const node = await ask(both, "node");
  assert.deepEqual([...new Set(node.walks.map(({ from }) => from))], [
    "192.0.2.1 (this node)",
    "2001:db8::1 (this node)",
  ]);
  const pod = await ask(service("web", "IPv6") + service("client", "IPv4", "IPv6"), "default/client");
  assert.deepEqual([...new Set(pod.walks.map(({ from }) => from))], ["fd00:244:1::5 (pods of this node)"]);
});
