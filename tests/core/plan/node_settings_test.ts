import assert from "node:assert/strict";
import { formatAddress, formatCidr } from "../../../core/net/address.ts";
import {
  deriveNodeSettings,
  detectNodeAddresses,
  type NodeConfiguration,
  type NodeFacts,
  nodePortAddresses,
  sameSettings,
} from "../../../core/plan/node_settings.ts";
import type { Node } from "../../../core/objects/objects.ts";
import { address, cidr } from "./builders.ts";

const node: Node = {
  kind: "Node",
  name: "here",
  zone: "",
  addresses: [address("192.0.2.1"), address("2001:db8::1")],
  podCidrs: [cidr("10.1.0.0/24"), cidr("fd00:1::/64"), cidr("10.2.0.0/24")],
  eligible: true,
};

const configuration: NodeConfiguration = {
  detectLocal: { mode: "ClusterCIDR", clusterCidrs: [] },
  masqueradeAll: false,
  masqueradeBit: 14,
  nodePortAddresses: ["primary"],
  localhostNodePorts: false,
  trafficMetrics: "connections",
  listsInterfaceAddresses: false,
};

const facts: NodeFacts = {
  node,
  nodeAddresses: detectNodeAddresses(node, undefined),
  interfaceAddresses: ["127.0.0.1", "::1", "192.0.2.1", "10.9.0.1", "2001:db8::1", "fe80::1"].map(address),
  serviceCidrs: ["10.96.0.0/16", "fd00:96::/108", "10.96.5.0/24"].map(cidr),
};

Deno.test("the addresses of a node: docs/behaviour.md §1.5", () => {
  const v4Only = { ...node, addresses: [address("192.0.2.1")] };
  const v6First = { ...node, addresses: [address("2001:db8::1"), address("192.0.2.1")] };
  for (
    const [about, bindAddress, primary, IPv4, IPv6] of [
      [undefined, undefined, "IPv4", "127.0.0.1", "::1"],
      [node, undefined, "IPv4", "192.0.2.1", "2001:db8::1"],
      [v6First, undefined, "IPv6", "192.0.2.1", "2001:db8::1"],
      [v4Only, undefined, "IPv4", "192.0.2.1", "::1"],
      [v4Only, "0.0.0.0", "IPv4", "192.0.2.1", "::1"],
      [v4Only, "::", "IPv4", "192.0.2.1", "::1"],
      [v4Only, "198.51.100.9", "IPv4", "198.51.100.9", "::1"],
      [v4Only, "2001:db8::9", "IPv6", "192.0.2.1", "2001:db8::9"],
      [undefined, "2001:db8::9", "IPv6", "127.0.0.1", "2001:db8::9"],
    ] as const
  ) {
    const found = detectNodeAddresses(about, bindAddress === undefined ? undefined : address(bindAddress));
    assert.deepEqual([found.primary, formatAddress(found.IPv4), formatAddress(found.IPv6)], [
      primary,
      IPv4,
      IPv6,
    ]);
  }
});

Deno.test("local traffic is detected by the first range of the family, or by interface: docs/behaviour.md §4.2", () => {
  const clusterCidrs = ["10.1.0.0/16", "fd00:1::/48", "10.2.0.0/16"].map(cidr);
  const rows: readonly [NodeConfiguration["detectLocal"], Node | undefined, string, string][] = [
    [{ mode: "ClusterCIDR", clusterCidrs }, node, "10.1.0.0/16", "fd00:1::/48"],
    [{ mode: "ClusterCIDR", clusterCidrs: clusterCidrs.slice(0, 1) }, node, "10.1.0.0/16", "none"],
    [{ mode: "ClusterCIDR", clusterCidrs: [] }, node, "none", "none"],
    [{ mode: "NodeCIDR" }, node, "10.1.0.0/24", "fd00:1::/64"],
    [{ mode: "NodeCIDR" }, undefined, "none", "none"],
    [{ mode: "BridgeInterface", bridgeInterface: "cni0" }, node, "interface cni0", "interface cni0"],
    [{ mode: "InterfaceNamePrefix", interfaceNamePrefix: "veth" }, node, "prefix veth", "prefix veth"],
  ];
  for (const [detectLocal, about, ...expected] of rows) {
    const shown = (["IPv4", "IPv6"] as const).map((family) => {
      const { localTraffic } = deriveNodeSettings(family, { ...configuration, detectLocal }, {
        ...facts,
        node: about,
      });
      switch (localTraffic.mode) {
        case "none":
          return "none";
        case "cidr":
          return formatCidr(localTraffic.cidr);
        case "interface":
          return `interface ${localTraffic.name}`;
        case "interface-prefix":
          return `prefix ${localTraffic.prefix}`;
      }
    });
    assert.deepEqual(shown, expected, JSON.stringify(detectLocal));
  }
});

Deno.test("addresses where node ports answer: docs/behaviour.md §4.4", () => {
  type Ranges = NodeConfiguration["nodePortAddresses"];
  const rows: readonly [what: string, Ranges, string, string][] = [
    ["primary", ["primary"], "192.0.2.1", "2001:db8::1"],
    ["all", ["all"], "all", "all"],
    ["localhost answers nowhere by rule", ["localhost"], "", ""],
    ["localhost and primary", ["localhost", "primary"], "192.0.2.1", "2001:db8::1"],
    ["a range of one family leaves the other at all", [cidr("10.0.0.0/8")], "10.9.0.1", "all"],
    [
      "ranges of both",
      [cidr("192.0.0.0/8"), cidr("10.0.0.0/8"), cidr("fe80::/10")],
      "10.9.0.1 192.0.2.1",
      "fe80::1",
    ],
    ["a range with keyword", [cidr("10.0.0.0/8"), "primary"], "10.9.0.1 192.0.2.1", "2001:db8::1"],
    ["a zero range", [cidr("10.0.0.0/8"), cidr("0.0.0.0/0")], "all", "all"],
    ["a range without an address of the node", [cidr("203.0.113.0/24"), cidr("::/0")], "", "all"],
  ];
  for (const [what, nodePortAddresses, ...expected] of rows) {
    const shown = (["IPv4", "IPv6"] as const).map((family) => {
      const configured = { ...configuration, nodePortAddresses };
      const { nodePorts } = deriveNodeSettings(family, configured, facts);
      return nodePorts === "all" ? "all" : nodePorts.map(formatAddress).join(" ");
    });
    assert.deepEqual(shown, expected, what);
  }
});

Deno.test("node ports answer on loopback addresses if configured and in a range: docs/behaviour.md §4.5", () => {
  type Ranges = NodeConfiguration["nodePortAddresses"];
  const rows: readonly [what: string, Ranges, isOn: boolean, addresses: string][] = [
    ["all", ["all"], true, "all"],
    ["a zero range", [cidr("0.0.0.0/0")], true, "all"],
    ["localhost", ["localhost"], true, "127.0.0.1"],
    ["localhost and primary", ["localhost", "primary"], true, "127.0.0.1 192.0.2.1"],
    ["a range that contains loopback addresses", [cidr("126.0.0.0/7")], true, "127.0.0.1"],
    ["a loopback range that no interface is in", [cidr("127.1.0.0/16")], true, ""],
    ["primary", ["primary"], false, "192.0.2.1"],
    ["a range without", [cidr("10.0.0.0/8")], false, "10.9.0.1"],
    ["ranges of the other family, and so all", [cidr("2001:db8::/64")], true, "all"],
  ];
  const enabled = { ...configuration, localhostNodePorts: true } as const;
  const shown = (family: "IPv4" | "IPv6", configured: NodeConfiguration) => {
    const { localhostNodePorts, nodePorts } = deriveNodeSettings(family, configured, facts);
    return [localhostNodePorts, nodePorts === "all" ? "all" : nodePorts.map(formatAddress).join(" ")];
  };
  for (const [what, nodePortAddresses, isOn, addresses] of rows) {
    const configured = { ...enabled, nodePortAddresses };
    assert.deepEqual(shown("IPv4", configured), [isOn, addresses], what);
    assert.equal(shown("IPv4", { ...configured, localhostNodePorts: false })[0], false, what);
    assert.equal(shown("IPv6", configured)[0], false, `IPv6: ${what}`);
  }
  const onlyLoopback = { ...enabled, nodePortAddresses: ["localhost"] } as const;
  assert.deepEqual(shown("IPv6", onlyLoopback), [false, ""]);
  assert.deepEqual(shown("IPv4", { ...onlyLoopback, localhostNodePorts: false }), [false, ""]);
});

Deno.test("listeners of node-port addresses include loopback addresses, and known addresses when all answer", () => {
  const shown = (ranges: NodeConfiguration["nodePortAddresses"]) =>
    (["IPv4", "IPv6"] as const).map((family) => {
      const configured = { ...configuration, nodePortAddresses: ranges };
      const { isAll, addresses } = nodePortAddresses(family, configured, facts);
      return `${isAll ? "all: " : ""}${addresses.map(formatAddress).join(" ")}`;
    });
  assert.deepEqual(shown(["primary"]), ["192.0.2.1", "2001:db8::1"]);
  assert.deepEqual(shown(["localhost"]), ["127.0.0.1", "::1"]);
  assert.deepEqual(shown([cidr("10.0.0.0/8")]), ["10.9.0.1", "all: ::1 2001:db8::1"]);
  assert.deepEqual(shown(["all"])[0], "all: 10.9.0.1 127.0.0.1 192.0.2.1");
});

Deno.test("a mode that serves each address separately gets all addresses of the node: docs/behaviour.md §5.3", () => {
  const enumerating = { ...configuration, listsInterfaceAddresses: true };
  const linkLocal = { ...facts, interfaceAddresses: [...facts.interfaceAddresses, address("169.254.20.10")] };
  const shown = (nodePortAddresses: NodeConfiguration["nodePortAddresses"]) =>
    (["IPv4", "IPv6"] as const).map((family) => {
      const { nodePorts } = deriveNodeSettings(family, { ...enumerating, nodePortAddresses }, linkLocal);
      return nodePorts === "all" ? "all" : nodePorts.map(formatAddress).join(" ");
    });
  // Never loopback addresses, and link-local addresses only if a range includes them.
  assert.deepEqual(shown(["all"]), ["10.9.0.1 192.0.2.1", "2001:db8::1"]);
  assert.deepEqual(shown([cidr("10.0.0.0/8")]), ["10.9.0.1", "2001:db8::1"]);
  assert.deepEqual(shown([cidr("169.254.0.0/16"), cidr("fe80::/10")]), ["169.254.20.10", "fe80::1"]);

  const { interfaceAddresses } = deriveNodeSettings("IPv4", enumerating, linkLocal);
  assert.deepEqual(interfaceAddresses.map(formatAddress), [
    "10.9.0.1",
    "127.0.0.1",
    "169.254.20.10",
    "192.0.2.1",
  ]);
  assert.deepEqual(deriveNodeSettings("IPv4", configuration, linkLocal).interfaceAddresses, []);
});

Deno.test("while the node's address is not known, the keyword primary stands for no address, not for all", () => {
  const unknown = { ...facts, node: undefined, nodeAddresses: detectNodeAddresses(undefined, undefined) };
  const onlyIPv4 = { ...facts, nodeAddresses: detectNodeAddresses(node, undefined) };
  const withoutIPv6 = { ...onlyIPv4, nodeAddresses: { ...onlyIPv4.nodeAddresses, IPv6: address("::1") } };
  const answering = (ranges: NodeConfiguration["nodePortAddresses"], known: NodeFacts) =>
    (["IPv4", "IPv6"] as const).map((family) => {
      const configured = { ...configuration, nodePortAddresses: ranges };
      const { nodePorts } = deriveNodeSettings(family, configured, known);
      const { isAll, addresses } = nodePortAddresses(family, configured, known);
      return [
        nodePorts === "all" ? "all" : nodePorts.map(formatAddress).join(" "),
        isAll ? "all" : addresses.map(formatAddress).join(" "),
      ];
    });
  const nowhere = ["", ""];
  assert.deepEqual(answering(["primary"], unknown), [nowhere, nowhere]);
  assert.deepEqual(answering(["primary"], withoutIPv6), [["192.0.2.1", "192.0.2.1"], nowhere]);
  assert.deepEqual(answering(["primary", "localhost"], unknown), [["", "127.0.0.1"], ["", "::1"]]);
  assert.deepEqual(answering(["primary", cidr("10.0.0.0/8")], unknown), [["10.9.0.1", "10.9.0.1"], nowhere]);
  assert.deepEqual(answering(["primary", "all"], unknown), [["all", "all"], ["all", "all"]]);
  assert.deepEqual(answering(["all"], unknown), [["all", "all"], ["all", "all"]]);
});

Deno.test("link-local IPv6 addresses, which come and go with every pod, change no settings unless a range names them", () => {
  const withVeth = { ...facts, interfaceAddresses: [...facts.interfaceAddresses, address("fe80::ec:1")] };
  const hasChanged = (ranges: NodeConfiguration["nodePortAddresses"], listsInterfaceAddresses: boolean) => {
    const configured = { ...configuration, nodePortAddresses: ranges, listsInterfaceAddresses };
    const [before, after] = [facts, withVeth].map((now) => ({
      settings: deriveNodeSettings("IPv6", configured, now),
      listeners: nodePortAddresses("IPv6", configured, now).addresses.map(formatAddress),
    }));
    assert.ok(before !== undefined && after !== undefined);
    const moved = before.listeners.join() !== after.listeners.join();
    return [!sameSettings(before.settings, after.settings), moved];
  };
  for (const ranges of [["all"], ["primary"], ["localhost"], [cidr("2001:db8::/32")]] as const) {
    for (const lists of [true, false]) {
      assert.deepEqual(hasChanged(ranges, lists), [false, false], `${ranges}`);
    }
  }
  for (const lists of [true, false]) assert.deepEqual(hasChanged([cidr("fe80::/10")], lists), [true, true]);
});

Deno.test("the other settings follow the configuration", () => {
  const { masqueradeMark, serviceCidrs } = deriveNodeSettings("IPv4", configuration, facts);
  assert.equal(masqueradeMark, 0x4000);
  assert.deepEqual(serviceCidrs.map(formatCidr), ["10.96.0.0/16"]);
  assert.equal(
    deriveNodeSettings("IPv4", { ...configuration, masqueradeBit: 31 }, facts).masqueradeMark,
    0x80000000,
  );
});

Deno.test("settings are equal until one differs", () => {
  const settings = deriveNodeSettings("IPv4", configuration, facts);
  assert.ok(sameSettings(settings, structuredClone(settings)));
  const range = (text: string) => ({ localTraffic: { mode: "cidr", cidr: cidr(text) } }) as const;
  for (
    const change of [
      { masqueradeAll: true },
      { masqueradeMark: 1 },
      { nodePorts: "all" },
      { nodePorts: [] },
      { interfaceAddresses: [address("192.0.2.1")] },
      { localhostNodePorts: true },
      { serviceCidrs: [] },
      range("10.0.0.0/8"),
      { localTraffic: { mode: "interface", name: "cni0" } },
      { family: "IPv6" },
    ] as const
  ) {
    assert.ok(!sameSettings(settings, { ...settings, ...change }), JSON.stringify(change));
  }
  assert.ok(sameSettings({ ...settings, ...range("10.0.0.0/8") }, { ...settings, ...range("10.0.0.0/8") }));
  assert.ok(!sameSettings({ ...settings, ...range("10.0.0.0/8") }, { ...settings, ...range("10.0.0.0/9") }));
});
