import assert from "node:assert/strict";
import { modes, type ProxyMode } from "../../../backends/registry.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { address } from "../plan/builders.ts";

const interfaceAddresses = ["127.0.0.1", "192.0.2.1", "10.9.0.1"].map(address);

function modeOf(name: ProxyMode) {
  const mode = modes.find((one) => one.name === name);
  assert.ok(mode);
  return mode;
}

function viewIn(name: ProxyMode) {
  const config = {
    nodeName: "here",
    bindAddress: undefined,
    detectLocal: { mode: "ClusterCIDR", clusterCidrs: [] },
    masqueradeAll: false,
    masqueradeBit: 14,
    nodePortAddresses: ["all"],
    localhostNodePorts: false,
    trafficMetrics: "connections",
    mode: modeOf(name),
  } as const;
  const store = { node: undefined, serviceCidrs: [] };
  return nodeView(config, ["IPv4"], store, interfaceAddresses, undefined);
}

function settingsIn(mode: ProxyMode) {
  const [settings] = viewIn(mode).settings;
  assert.ok(settings);
  return settings;
}

Deno.test("mode ipvs gets each address of the node, in other modes a rule recognises them", () => {
  const { nodePorts, interfaceAddresses: known } = settingsIn("ipvs");
  assert.deepEqual(nodePorts === "all" ? "all" : nodePorts.map(formatAddress), ["10.9.0.1", "192.0.2.1"]);
  assert.deepEqual(known.map(formatAddress), ["10.9.0.1", "127.0.0.1", "192.0.2.1"]);
  assert.equal(settingsIn("iptables").nodePorts, "all");
  assert.deepEqual(settingsIn("iptables").interfaceAddresses, []);
});

Deno.test("only mode ebpf ends connections, and gets lists of endpoints for it", () => {
  for (const { name } of modes) {
    assert.equal(viewIn(name).context.endsConnections, name === "ebpf", name);
  }
});
