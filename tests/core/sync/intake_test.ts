import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import type { DetectLocal, NodePortRange } from "../../../core/plan/node_settings.ts";
import type { Node } from "../../../core/objects/objects.ts";
import { Intake } from "../../../core/sync/intake.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { nodeOfThisHost } from "../../../core/node/interfaces.ts";
import { address, cidr } from "../plan/builders.ts";

const node: Node = {
  kind: "Node",
  name: "here",
  zone: "",
  addresses: [address("192.0.2.1"), address("2001:db8::1")],
  podCidrs: [cidr("10.1.0.0/24")],
  eligible: true,
};
const [nftables] = modes;

/** An intake of node "here" whose reactions and log lines are recorded. */
function intakeWith(
  { detectLocal = { mode: "ClusterCIDR", clusterCidrs: [] }, nodePortAddresses = ["primary"], standIn }: {
    detectLocal?: DetectLocal;
    nodePortAddresses?: readonly NodePortRange[];
    standIn?: Node;
  } = {},
) {
  const lines: string[] = [];
  const reactions: string[] = [];
  const record = (level: string) => (message: string, fields: object = {}) => {
    lines.push(`${level}: ${message} ${JSON.stringify(fields)}`);
  };
  const log = { error: record("error"), warn: record("warn"), info: record("info") };
  const queue = new PlanQueue("here", log);
  const config = {
    nodeName: "here",
    bindAddress: undefined,
    detectLocal,
    masqueradeAll: false,
    masqueradeBit: 14,
    nodePortAddresses,
    localhostNodePorts: false,
    trafficMetrics: "connections",
    mode: nftables,
  } as const;
  const interfaces = ["127.0.0.1", "::1", "192.0.2.1", "192.0.2.7", "2001:db8::1"].map(address);
  const intake = new Intake({
    queue,
    loop: {
      changed: () => void reactions.push("changed"),
      reconcile: (reason) => void reactions.push(reason),
    },
    view: () => nodeView(config, FAMILIES, queue.store, interfaces, standIn),
    observer: {
      received() {},
      invalid: ({ ref }) => reactions.push(`invalid ${ref.kind} ${ref.name}`),
      corrected: ({ kind, name }) => reactions.push(`corrected ${kind} ${name}`),
      eligible() {},
      connected() {},
    },
    log,
  });
  return {
    intake,
    /** The log lines since the last call. */
    logged: () => lines.splice(0).filter((line) => !line.includes("planning all services again")),
    reacted: () => reactions.splice(0),
    nodePorts: () => queue.view.settings.map(({ nodePorts }) => nodePorts),
  };
}

const NO_ADDRESS = "Node ports answer on no primary address";

Deno.test("node ports answer nowhere before the Node has an address, and follow when it has one", () => {
  const { intake, logged, reacted, nodePorts } = intakeWith();
  intake.synced();
  assert.deepEqual(nodePorts(), [[], []]);
  assert.deepEqual(logged(), [
    `warn: ${NO_ADDRESS} {"node":"here","families":["IPv4","IPv6"],` +
    `"why":"there is no Node object of this name, or it cannot be read"}`,
  ]);
  for (const zone of ["", "a", "b"]) intake.upsert({ ...node, zone, addresses: [] });
  assert.deepEqual(nodePorts(), [[], []]);
  assert.deepEqual(logged(), [
    `warn: ${NO_ADDRESS} {"node":"here","families":["IPv4","IPv6"],` +
    `"why":"the Node has no addresses in its status"}`,
  ]);
  reacted();
  intake.upsert({ ...node, zone: "b" });
  assert.deepEqual(nodePorts(), [[address("192.0.2.1")], [address("2001:db8::1")]]);
  assert.deepEqual(logged(), ['info: Node ports answer on the primary addresses {"node":"here"}']);
  assert.ok(reacted().includes("node settings changed"));
});

Deno.test("a family that the Node has no address of is usual, and an address of no interface is not", () => {
  const { intake, logged, nodePorts } = intakeWith();
  intake.upsert({ ...node, addresses: [address("192.0.2.1")] });
  intake.synced();
  assert.deepEqual(nodePorts(), [[address("192.0.2.1")], []]);
  assert.deepEqual(logged(), [
    `info: ${NO_ADDRESS} {"node":"here","families":["IPv6"],"why":"the Node has no IPv6 address in its status"}`,
  ]);
  intake.upsert({ ...node, addresses: [address("203.0.113.1"), address("2001:db8::1")] });
  assert.deepEqual(logged(), [
    `warn: ${NO_ADDRESS} {"node":"here","families":["IPv4"],` +
    `"why":"no interface has the node's address 203.0.113.1"}`,
  ]);
  intake.interfacesChanged();
  assert.deepEqual(logged(), []);
});

Deno.test("node ports on all addresses do not need the Node", () => {
  const { intake, logged, nodePorts } = intakeWith({ nodePortAddresses: ["all"] });
  intake.synced();
  assert.deepEqual(nodePorts(), ["all", "all"]);
  assert.deepEqual(logged(), []);
});

Deno.test("missing pod CIDRs in mode NodeCIDR are a warning until the Node has some", () => {
  const { intake, logged } = intakeWith({ detectLocal: { mode: "NodeCIDR" }, nodePortAddresses: ["all"] });
  intake.upsert({ ...node, podCidrs: [] });
  intake.synced();
  assert.deepEqual(logged(), [
    'warn: Connections from outside to ClusterIPs are not masqueraded {"node":"here",' +
    '"families":["IPv4","IPv6"],"why":"the Node has no ranges in spec.podCIDRs"}',
  ]);
  intake.upsert({ ...node, podCidrs: [cidr("10.1.0.0/24"), cidr("fd00:1::/64")] });
  assert.deepEqual(logged(), [
    'info: Connections from outside to ClusterIPs are masqueraded {"node":"here"}',
  ]);
});

Deno.test("without an API server the host's own addresses stand in for those that the Node does not have", () => {
  const standIn = nodeOfThisHost("here", ["127.0.0.1", "192.0.2.7", "2001:db8::1"].map(address));
  const { intake, logged, nodePorts } = intakeWith({ standIn });
  intake.synced();
  assert.deepEqual(nodePorts(), [[address("192.0.2.7")], [address("2001:db8::1")]]);
  intake.upsert({ ...node, addresses: [] });
  assert.deepEqual(nodePorts(), [[address("192.0.2.7")], [address("2001:db8::1")]]);
  intake.upsert(node);
  assert.deepEqual(nodePorts(), [[address("192.0.2.1")], [address("2001:db8::1")]]);
  assert.deepEqual(logged(), []);
});

Deno.test("an object that is invalid is reported, one that is not for this proxy is not", () => {
  const { intake, reacted } = intakeWith();
  const ref = { kind: "Service", namespace: "default", name: "web" } as const;
  intake.unused({ ref, why: "it is headless (clusterIP None)", isInvalid: false });
  intake.unused({ ref, why: "spec.ports: missing", isInvalid: true });
  assert.deepEqual(reacted(), ["invalid Service web"]);
});
