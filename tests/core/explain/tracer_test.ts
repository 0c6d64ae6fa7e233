import assert from "node:assert/strict";
import { formatSocketAddress } from "../../../core/net/address.ts";
import { deriveNodeSettings, type NodeConfiguration } from "../../../core/plan/node_settings.ts";
import type { EndpointSlice, Service } from "../../../core/objects/objects.ts";
import { planService } from "../../../core/plan/planner.ts";
import { type Trace, type TracedNode, tracedNode } from "../../../core/explain/trace/trace.ts";
import { traceConnection } from "../../../core/explain/trace/tracer.ts";
import { address, aService, aSlice, cidr, here, webPort } from "../plan/builders.ts";

const configuration: NodeConfiguration = {
  detectLocal: { mode: "ClusterCIDR", clusterCidrs: [cidr("10.244.1.0/24")] },
  masqueradeAll: false,
  masqueradeBit: 14,
  nodePortAddresses: ["primary"],
  localhostNodePorts: false,
  trafficMetrics: "connections",
  listsInterfaceAddresses: false,
};
const nodeAddress = "192.0.2.1";
const clients = {
  pod: { source: "10.244.1.5", incoming: "pods0" },
  "pod elsewhere": { source: "10.244.2.5", incoming: "eth0" },
  node: { source: nodeAddress, incoming: undefined },
  outside: { source: "198.18.0.9", incoming: "eth0" },
  "the endpoint here": { source: "10.244.1.11", incoming: "pods0" },
};

/** Node "here", 192.0.2.1, with these services; its pods are 10.244.1.0/24. */
function nodeWith(
  services: readonly (readonly [Service, ...EndpointSlice[]])[],
  different: Partial<NodeConfiguration> = {},
): TracedNode {
  const addresses = [address(nodeAddress)];
  const facts = {
    node: undefined,
    nodeAddresses: { ...here.nodeAddresses, primary: "IPv4" as const },
    interfaceAddresses: addresses,
    serviceCidrs: [cidr("10.96.0.0/16")],
  };
  const plans = services.flatMap(([service, ...slices]) => planService(service, slices, here));
  return tracedNode({
    settings: [deriveNodeSettings("IPv4", { ...configuration, ...different }, facts)],
    plans: new Map(plans.map((plan) => [plan.key, plan])),
  }, addresses);
}

function trace(
  node: TracedNode,
  client: keyof typeof clients,
  destination: string,
): Trace {
  const { source, incoming } = clients[client];
  const [to = "", port] = destination.split(":");
  return traceConnection(node, {
    source: address(source),
    incoming,
    destination: address(to),
    protocol: "TCP",
    port: Number(port),
  });
}

/** `rejected`, or `10.244.1.11:8080 sees client, …`. */
function outcome(...connection: Parameters<typeof trace>): string {
  const { outcome } = trace(...connection);
  if (outcome.verdict !== "balanced") return outcome.verdict;
  return outcome.choices.map(({ endpoint, source, stopped }) =>
    `${formatSocketAddress(endpoint.address, endpoint.port)} ${stopped ?? `sees ${source}`}`
  ).join(", ");
}

function stepsOf(...connection: Parameters<typeof trace>): string[] {
  return trace(...connection).steps.map(({ text, section }) => `${text} (${section})`);
}

const local = { at: "10.244.1.11", nodeName: "here" };
const remote = { at: "10.244.2.14", nodeName: "there" };
const external: Partial<Service> = {
  ports: [{ ...webPort, nodePort: 30080 }],
  externalIPs: [address("198.51.100.1")],
  loadBalancerIPs: [address("203.0.113.5")],
};
const externalAddresses = ["198.51.100.1:80", "203.0.113.5:80", `${nodeAddress}:30080`];

Deno.test("a ClusterIP leads to all endpoints; a source that is not a pod of this node is masqueraded", () => {
  const node = nodeWith([[aService(), aSlice([local, remote])]]);
  assert.equal(
    outcome(node, "pod", "10.96.0.10:80"),
    "10.244.1.11:8080 sees client, 10.244.2.14:8080 sees client",
  );
  for (const client of ["pod elsewhere", "node", "outside"] as const) {
    assert.equal(
      outcome(node, client, "10.96.0.10:80"),
      "10.244.1.11:8080 sees node, 10.244.2.14:8080 sees node",
    );
  }
  assert.deepEqual(stepsOf(node, "outside", "10.96.0.10:80"), [
    "frontend 10.96.0.10:80/TCP of default/web:http (ClusterIP) (§2)",
    "source 198.18.0.9 is not a pod of this node: masqueraded (§4.3)",
    "internalTrafficPolicy Cluster: one of 2 endpoints in the cluster (§3)",
  ]);
});

Deno.test("in a mode that relays connections, endpoints see the node, whoever connects", () => {
  const node = { ...nodeWith([[aService(external), aSlice([local, remote])]]), relays: true as const };
  for (const client of ["pod", "outside", "node", "the endpoint here"] as const) {
    for (const at of ["10.96.0.10:80", ...externalAddresses]) {
      assert.equal(
        outcome(node, client, at),
        "10.244.1.11:8080 sees node, 10.244.2.14:8080 sees node",
        `${client} ${at}`,
      );
    }
  }
  assert.deepEqual(stepsOf(node, "pod", "10.96.0.10:80"), [
    "frontend 10.96.0.10:80/TCP of default/web:http (ClusterIP) (§2)",
    "internalTrafficPolicy Cluster: one of 2 endpoints in the cluster (§3)",
    "the connection ends at the proxy: the endpoint sees an address of this node (§4.1)",
  ]);
});

Deno.test("externalTrafficPolicy Local: this node uses all endpoints, others use local ones and keep their address", () => {
  const service = aService({ ...external, externalTrafficPolicy: "Local" });
  const node = nodeWith([[service, aSlice([local, remote])]]);
  for (const at of externalAddresses) {
    assert.equal(outcome(node, "outside", at), "10.244.1.11:8080 sees client");
    assert.equal(outcome(node, "pod", at), "10.244.1.11:8080 sees client, 10.244.2.14:8080 sees client");
    assert.equal(outcome(node, "node", at), "10.244.1.11:8080 sees node, 10.244.2.14:8080 sees node");
  }
  assert.deepEqual(stepsOf(node, "pod", `${nodeAddress}:30080`), [
    "frontend node port 30080/TCP of default/web:http (NodePort), at the node's address 192.0.2.1 (§4.4)",
    "externalTrafficPolicy Local: source 10.244.1.5 is a pod of this node: short circuit to one of 2 endpoints in " +
    "the cluster, not masqueraded (§4.3)",
  ]);
});

Deno.test("externalTrafficPolicy Local without local endpoints drops connections from outside, not from this node", () => {
  const service = aService({ ...external, externalTrafficPolicy: "Local" });
  const node = nodeWith([[service, aSlice([remote])]]);
  for (const at of externalAddresses) {
    assert.equal(outcome(node, "outside", at), "dropped");
    assert.equal(outcome(node, "node", at), "10.244.2.14:8080 sees node");
  }
  assert.equal(
    stepsOf(node, "outside", "203.0.113.5:80").at(-1),
    "default/web:http has no endpoints on this node: dropped (§3)",
  );
});

Deno.test("source ranges guard the load-balancer address, with or without endpoints", () => {
  const service = aService({ ...external, loadBalancerSourceRanges: [cidr("10.244.0.0/16")] });
  for (const slices of [[aSlice([local])], []]) {
    const node = nodeWith([[service, ...slices]]);
    assert.equal(outcome(node, "outside", "203.0.113.5:80"), "dropped");
    assert.equal(
      stepsOf(node, "outside", "203.0.113.5:80").at(-1),
      "source 198.18.0.9 is in none of the source ranges 10.244.0.0/16: dropped (§4.6)",
    );
    assert.notEqual(outcome(node, "pod", "203.0.113.5:80"), "dropped");
    assert.notEqual(outcome(node, "outside", "198.51.100.1:80"), "dropped");
  }
});

Deno.test("without endpoints every frontend rejects, and so does a port that a ClusterIP does not serve", () => {
  const node = nodeWith([[aService(external)]]);
  for (const at of ["10.96.0.10:80", ...externalAddresses, "10.96.0.10:81"]) {
    for (const client of ["pod", "node", "outside"] as const) {
      assert.equal(outcome(node, client, at), "rejected", at);
    }
  }
});

Deno.test("connections to an unallocated ClusterIP are dropped, and to other addresses are passed", () => {
  const node = nodeWith([[aService(external), aSlice([local])]]);
  assert.equal(outcome(node, "pod", "10.96.0.99:80"), "dropped");
  for (const at of [`${nodeAddress}:80`, "203.0.113.99:80", "127.0.0.1:30080"]) {
    assert.equal(outcome(node, "node", at), "passed", at);
  }
});

Deno.test("node ports answer on loopback addresses if configured, and pods see the node", () => {
  const service = aService({ ...external, externalTrafficPolicy: "Local" });
  const all = { nodePortAddresses: ["all"], localhostNodePorts: true } as const;
  const node = nodeWith([[service, aSlice([local, remote])]], all);
  assert.equal(
    outcome(node, "node", "127.0.0.1:30080"),
    "10.244.1.11:8080 sees node, 10.244.2.14:8080 sees node",
  );
  const none = nodeWith([[service, aSlice([local, remote])]], { ...all, localhostNodePorts: false });
  assert.equal(outcome(none, "node", "127.0.0.1:30080"), "passed");
  const primary = nodeWith([[service, aSlice([local, remote])]], { localhostNodePorts: true });
  assert.equal(outcome(primary, "node", "127.0.0.1:30080"), "passed");
});

Deno.test("an endpoint of this node that connects to itself is masqueraded", () => {
  const node = nodeWith([[aService(), aSlice([local, remote])]]);
  assert.equal(
    outcome(node, "the endpoint here", "10.96.0.10:80"),
    "10.244.1.11:8080 sees node, 10.244.2.14:8080 sees client",
  );
  assert.equal(
    stepsOf(node, "the endpoint here", "10.96.0.10:80").at(-1),
    "endpoint 10.244.1.11:8080/TCP is the client itself (hairpin): masqueraded (§4.3)",
  );
});

Deno.test("a connection that ends on the node keeps its source, because it does not pass POSTROUTING", () => {
  const node = nodeWith([[aService(), aSlice([{ at: nodeAddress, nodeName: "here" }])]]);
  assert.equal(outcome(node, "outside", "10.96.0.10:80"), `${nodeAddress}:8080 sees client`);
  assert.equal(outcome(node, "node", "10.96.0.10:80"), `${nodeAddress}:8080 sees node`);
});

Deno.test("a connection to an endpoint whose address is in a service range, or a ClusterIP, gets there", () => {
  const node = nodeWith([[aService(), aSlice([{ at: "10.96.0.10" }, { at: "10.96.0.99" }])]]);
  assert.equal(
    outcome(node, "pod", "10.96.0.10:80"),
    "10.96.0.10:8080 sees client, 10.96.0.99:8080 sees client",
  );
});

Deno.test("masqueradeAll applies to ClusterIPs only, and the trace mentions affinity", () => {
  const service = aService({ ...external, externalTrafficPolicy: "Local", affinitySeconds: 60 });
  const node = nodeWith([[service, aSlice([local])]], { masqueradeAll: true });
  assert.equal(outcome(node, "pod", "10.96.0.10:80"), "10.244.1.11:8080 sees node");
  assert.equal(outcome(node, "outside", "203.0.113.5:80"), "10.244.1.11:8080 sees client");
  assert.equal(
    stepsOf(node, "pod", "10.96.0.10:80").at(-1),
    "session affinity: the endpoint that this client had in the last 60 s (§4.7)",
  );
});

Deno.test("connections of an unused family are passed; two families in one connection are an error", () => {
  const node = nodeWith([[aService(), aSlice([local])]]);
  const connection = {
    incoming: "eth0",
    protocol: "TCP",
    port: 80,
    destination: address("fd00::10"),
  } as const;
  assert.equal(
    traceConnection(node, { ...connection, source: address("fd00::1") }).outcome.verdict,
    "passed",
  );
  assert.throws(() => traceConnection(node, { ...connection, source: address("10.0.0.1") }), RangeError);
});
