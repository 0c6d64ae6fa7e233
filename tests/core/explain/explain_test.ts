import assert from "node:assert/strict";
import { ebpf } from "../../../backends/ebpf/mode.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import { explain } from "../../../core/explain/explain.ts";
import type { Explanation } from "../../../core/explain/explanation.ts";
import { parseQuestion } from "../../../core/explain/question.ts";
import { address } from "../plan/builders.ts";
import { knowledgeFrom } from "./planted.ts";

/** Service default/web, and what differs. */
function service(spec: string, { name = "web", more = "", status = "" } = {}): string {
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default${more}}
spec: {${spec}}
status: {${status}}
---
`;
}

const port = "ports: [{name: http, port: 80, protocol: TCP, nodePort: 30080}]";
const web = service(`type: NodePort, clusterIP: 10.96.0.10, ${port}`);

function slice(endpoints: string, { port = "http", family = "IPv4" } = {}): string {
  return `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: ${family}
ports: [{name: ${port}, port: 8080, protocol: TCP}]
endpoints: [${endpoints}]
---
`;
}

const here = "{addresses: [10.244.1.5], nodeName: here, conditions: {ready: true}}";
const elsewhere = "{addresses: [10.244.2.7], nodeName: there, conditions: {ready: true}}";
const notReady = "{addresses: [10.244.2.8], nodeName: there, conditions: {ready: false, serving: false}}";
const leaving = "{addresses: [10.244.2.9], nodeName: there, " +
  "conditions: {ready: false, serving: true, terminating: true}}";

async function answer(yaml: string, question: string, from = ""): Promise<Explanation> {
  const parsed = parseQuestion(question);
  assert("about" in parsed, `${question}: ${JSON.stringify(parsed)}`);
  return await explain(knowledgeFrom(yaml), parsed, from === "" ? undefined : [address(from)]);
}

const balancer = (spec: string) =>
  service(`type: LoadBalancer, clusterIP: 10.96.0.10, ${port}, ${spec}`, {
    status: "loadBalancer: {ingress: [{ip: 203.0.113.7}]}",
  });

/** Faults of the cluster, what is asked, and the causes that the answer names. */
const faults: readonly {
  readonly fault: string;
  readonly objects: string;
  readonly question: string;
  readonly from?: string;
  readonly causes: readonly string[];
}[] = [
  { fault: "a name that does not exist", objects: web, question: "default/wbe", causes: ["unknown-service"] },
  { fault: "another namespace", objects: web, question: "production/web", causes: ["unknown-service"] },
  { fault: "no slice", objects: web, question: "default/web", causes: ["no-slices"] },
  { fault: "an empty slice", objects: web + slice(""), question: "default/web", causes: ["no-endpoints"] },
  {
    fault: "slices of the other family",
    objects: web + slice("", { family: "IPv6" }),
    question: "default/web",
    causes: ["no-slices-of-family"],
  },
  {
    fault: "a port name that the slices do not have",
    objects: web + slice(here, { port: "metrics" }),
    question: "default/web",
    causes: ["port-not-in-slices"],
  },
  {
    fault: "no endpoint is ready",
    objects: web + slice(notReady),
    question: "10.96.0.10:80",
    causes: ["endpoints-not-ready"],
  },
  {
    fault: "a rollout without a new ready pod",
    objects: web + slice(leaving),
    question: "default/web:http",
    causes: ["only-terminating-endpoints"],
  },
  {
    fault: "one of two is not ready",
    objects: web + slice(`${here}, ${notReady}`),
    question: "default/web:80",
    causes: ["some-endpoints-not-ready"],
  },
  {
    fault: "internal policy Local without an endpoint here",
    objects: service(`clusterIP: 10.96.0.10, internalTrafficPolicy: Local, ${port}`) + slice(elsewhere),
    question: "default/web",
    causes: ["no-local-endpoints"],
  },
  {
    fault: "external policy Local without an endpoint here",
    objects: service(`type: NodePort, clusterIP: 10.96.0.10, externalTrafficPolicy: Local, ${port}`) +
      slice(elsewhere),
    question: "192.0.2.1:30080",
    causes: ["no-local-endpoints-for-outside"],
  },
  {
    fault: "a source range that denies the client",
    objects: balancer("loadBalancerSourceRanges: [198.18.0.0/24]") + slice(here),
    question: "203.0.113.7:80",
    from: "198.18.7.7",
    causes: ["source-range-denies"],
  },
  {
    fault: "source ranges",
    objects: balancer("loadBalancerSourceRanges: [198.18.0.0/24]") + slice(here),
    question: "default/web",
    causes: ["source-ranges"],
  },
  {
    fault: "a port that the service does not have",
    objects: web + slice(here),
    question: "10.96.0.10:8080",
    causes: ["wrong-port"],
  },
  {
    fault: "the other protocol",
    objects: web + slice(here),
    question: "10.96.0.10:80/udp",
    causes: ["wrong-protocol"],
  },
  {
    fault: "a port name that the service does not have",
    objects: web + slice(here),
    question: "default/web:https",
    causes: ["no-such-port"],
  },
  {
    fault: "a headless service",
    objects: service(`clusterIP: None, ${port}`),
    question: "web.default.svc.cluster.local",
    causes: ["not-proxied"],
  },
  {
    fault: "a service of another proxy",
    objects: service(`clusterIP: 10.96.0.10, ${port}`, {
      more: ", labels: {service.kubernetes.io/service-proxy-name: other}",
    }),
    question: "default/web",
    causes: ["not-proxied"],
  },
  {
    fault: "an invalid object",
    objects: service("clusterIP: 10.96.0.10, ports: [{port: 99999}]"),
    question: "default/web",
    causes: ["invalid-service"],
  },
  {
    fault: "an address that another service has",
    objects: web + slice(here) +
      service("clusterIP: 10.96.0.11, externalIPs: [10.96.0.10], ports: [{port: 80}]", { name: "thief" }),
    question: "default/thief",
    causes: ["claimed-by-another-service", "no-slices"],
  },
  {
    fault: "a node port on an address that does not serve them",
    objects: web + slice(here),
    question: "198.51.100.1:30080",
    causes: ["node-port-not-on-this-address"],
  },
  {
    fault: "a node port that no service has",
    objects: web + slice(here),
    question: "192.0.2.1:30081",
    causes: ["no-such-node-port"],
  },
  {
    fault: "the address of a service that was deleted",
    objects: web + slice(here),
    question: "10.96.7.7:80",
    causes: ["unallocated-address"],
  },
  {
    fault: "the address of a pod",
    objects: web + slice(here),
    question: "10.244.1.5:8080",
    causes: ["address-of-an-endpoint"],
  },
  {
    fault: "an address outside",
    objects: web + slice(here),
    question: "198.18.0.1:443",
    causes: ["not-a-service"],
  },
  {
    fault: "hints for another zone",
    objects: web + slice(
      `${here.replace("}}", "}, hints: {forZones: [{name: a}]}}")}, ` +
        elsewhere.replace("}}", "}, hints: {forZones: [{name: b}]}}"),
    ),
    question: "default/web",
    causes: ["topology-hints"],
  },
  {
    fault: "a family that the node does not use",
    objects: service(`clusterIP: "fd00::10", ${port}`),
    question: "default/web",
    causes: ["family-not-in-use"],
  },
  { fault: "none", objects: web + slice(`${here}, ${elsewhere}`), question: "default/web", causes: [] },
];

for (const { fault, objects, question, from, causes } of faults) {
  Deno.test(`explain ${question}: ${fault}`, async () => {
    const { findings } = await answer(objects, question, from);
    assert.deepEqual(findings.map(({ cause }) => cause), causes);
    for (const { severity, text, advice } of findings) {
      assert.match(text, /\.$/);
      assert(severity === "notice" || advice !== "", text);
    }
  });
}

Deno.test("explain names what the mode does not serve", async () => {
  const objects = `${web}${slice(here)}`.replaceAll("protocol: TCP", "protocol: SCTP");
  const parsed = parseQuestion("default/web");
  assert("about" in parsed);
  const causes = async (mode: Parameters<typeof knowledgeFrom>[1]) =>
    (await explain(knowledgeFrom(objects, mode), parsed, undefined)).findings.map((
      { cause, severity },
    ) => [cause, severity]);
  assert.deepEqual(await causes(ebpf), [["sctp-port-differs", "problem"]]);
  assert.deepEqual(await causes(nftables), []);
});

Deno.test("explain suggests the service that was meant", async () => {
  const [typo] = (await answer(web, "default/wbe")).findings;
  assert.equal(typo?.advice, "Did you mean default/web?");
  const [elsewhere] = (await answer(web, "production/web")).findings;
  assert.equal(elsewhere?.advice, "Did you mean default/web?");
});

Deno.test("explain shows frontends with the outcome for each kind of client, and endpoints", async () => {
  const { servicePorts } = await answer(web + slice(`${here}, ${elsewhere}, ${notReady}`), "default/web");
  assert.deepEqual(servicePorts, [{
    name: "default/web:http",
    protocol: "TCP",
    family: "IPv4",
    frontends: [
      {
        frontend: "10.96.0.10:80",
        kind: "ClusterIP",
        outcomes: [
          {
            clients: ["pods of this node"],
            verdict: "balanced",
            outcome: "one of 2 endpoints, which see the client's address",
          },
          {
            clients: ["this node", "clients outside"],
            verdict: "balanced",
            outcome: "one of 2 endpoints, which see an address of this node",
          },
        ],
      },
      {
        frontend: "node port 30080",
        kind: "NodePort",
        outcomes: [{
          clients: ["pods of this node", "this node", "clients outside"],
          verdict: "balanced",
          outcome: "one of 2 endpoints, which see an address of this node",
        }],
      },
    ],
    moreFrontends: 0,
    endpoints: [
      { endpoint: "10.244.1.5:8080", state: "ready", node: "here", isLocal: true, isUsed: true },
      { endpoint: "10.244.2.7:8080", state: "ready", node: "there", isLocal: false, isUsed: true },
      { endpoint: "10.244.2.8:8080", state: "not ready", node: "there", isLocal: false, isUsed: false },
    ],
    moreEndpoints: 0,
  }]);
});

Deno.test("explain walks the connection of a client", async () => {
  const { walks } = await answer(web + slice(here), "10.96.0.10:80", "10.244.1.5");
  assert.deepEqual(walks, [{
    from: "10.244.1.5 (pods of this node)",
    to: "10.96.0.10:80/TCP",
    steps: [
      "frontend 10.96.0.10:80/TCP of default/web:http (ClusterIP)",
      "source 10.244.1.5 is a pod of this node: not masqueraded",
      "internalTrafficPolicy Cluster: the only endpoint in the cluster",
      "endpoint 10.244.1.5:8080/TCP is the client itself (hairpin): masqueraded",
    ],
    verdict: "balanced",
    outcome: "the only endpoint, which sees an address of this node",
  }]);
});

Deno.test("questions: services, DNS names and addresses", () => {
  const asked = (text: string) => {
    const question = parseQuestion(text);
    return "problem" in question ? question.problem : question;
  };
  assert.deepEqual(asked("default/web"), { about: "service", namespace: "default", name: "web", port: "" });
  assert.deepEqual(asked("a/b.c:http"), { about: "service", namespace: "a", name: "b.c", port: "http" });
  assert.deepEqual(asked("web.default.svc:80"), {
    about: "service",
    namespace: "default",
    name: "web",
    port: "80",
  });
  assert.deepEqual(asked("[fd00::1]:53/udp"), {
    about: "address",
    address: address("fd00::1"),
    port: 53,
    protocol: "UDP",
  });
  assert.match(String(asked("10.96.0.10")), /has no port: write 10.96.0.10:80, for example/);
  assert.match(String(asked("fd00::1")), /has no port: write \[fd00::1\]:80/);
  assert.match(String(asked("10.96.0.10:99999")), /99999 is no port/);
  assert.match(String(asked("10.96.0.10:80/icmp")), /icmp is no protocol of services: write TCP, UDP, SCTP/);
  for (const nonsense of ["", "web", "a/b/c", "../../etc", "<script>", "1.2.3:80", "fd00::1:80/x"]) {
    assert.match(String(asked(nonsense)), /is neither a service nor an address|has no port/, nonsense);
  }
});
