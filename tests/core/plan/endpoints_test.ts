import assert from "node:assert/strict";
import { formatSocketAddress } from "../../../core/net/address.ts";
import type { SlicePort } from "../../../core/objects/objects.ts";
import { joinSlices, type NeededLists, selectEndpoints } from "../../../core/plan/endpoints.ts";
import { type Endpoint, mayReachItselfHere } from "../../../core/plan/plan.ts";
import { aSlice, type EndpointSketch } from "./builders.ts";

const http = { name: "http", protocol: "TCP" } as const;
const place = { nodeName: "here", zone: "a" };
const both: NeededLists = { cluster: true, local: true };

function shown(endpoints: readonly Endpoint[]): readonly string[] {
  return endpoints.map(({ address, port }) => formatSocketAddress(address, port));
}

/** Last byte of the addresses 10.1.0.x, by which the tables below identify endpoints. */
function hosts(endpoints: readonly Endpoint[]): string {
  return endpoints.map(({ address }) => address.charCodeAt(3)).join(" ");
}

function select(sketches: readonly EndpointSketch[], needed = both, where = place) {
  const { cluster, local, hasAny } = selectEndpoints(
    joinSlices([aSlice(sketches)], http, "IPv4", "here"),
    needed,
    where,
  );
  return { cluster: hosts(cluster), local: hosts(local), hasAny };
}

Deno.test("a service port has the endpoints of the slice ports with its name and protocol", () => {
  const ports = [
    { name: "http", protocol: "TCP", port: 8080 },
    { name: "http", protocol: "UDP", port: 8081 },
    { name: "other", protocol: "TCP", port: 8082 },
    { name: "http", protocol: "TCP", port: 8083 },
  ] as const;
  const slices = [
    aSlice([{ at: "10.1.0.1" }], { name: "web-1", ports }),
    aSlice([{ at: "10.1.0.2" }], { name: "web-2", ports: [{ name: "http", protocol: "TCP", port: 9090 }] }),
    aSlice([{ at: "fd00::1" }], { name: "web-3" }),
  ];
  const joined = (family: "IPv4" | "IPv6") =>
    shown(joinSlices(slices, http, family, "here").map((one) => one.endpoint));
  assert.deepEqual(joined("IPv4"), ["10.1.0.1:8080", "10.1.0.1:8083", "10.1.0.2:9090"]);
  assert.deepEqual(joined("IPv6"), ["[fd00::1]:8080"]);
});

Deno.test("a slice with many ports has the same endpoints for each of them as one with few", () => {
  const others = Array.from(
    { length: 100 },
    (_, n) => ({ name: `p${n}`, protocol: "TCP", port: n + 1 }) as const,
  );
  const ports = [{ ...http, port: 8080 }, ...others, { ...http, port: 8083 }];
  const joined = (port: Pick<SlicePort, "name" | "protocol">) =>
    shown(joinSlices([aSlice([{ at: "10.1.0.1" }], { ports })], port, "IPv4", "").map((one) => one.endpoint));
  assert.deepEqual(joined(http), ["10.1.0.1:8080", "10.1.0.1:8083"]);
  assert.deepEqual(joined({ name: "p7", protocol: "TCP" }), ["10.1.0.1:8"]);
  assert.deepEqual(joined({ name: "p7", protocol: "UDP" }), []);
});

Deno.test("endpoints are sorted by address bytes, then port", () => {
  const slices = [
    aSlice([{ at: "10.1.0.10" }, { at: "10.1.0.9" }, { at: "9.255.0.1" }], { name: "web-1" }),
    aSlice([{ at: "10.1.0.9" }], { name: "web-2", ports: [{ ...http, port: 80 }] }),
  ];
  assert.deepEqual(shown(joinSlices(slices, http, "IPv4", "here").map((one) => one.endpoint)), [
    "9.255.0.1:8080",
    "10.1.0.9:80",
    "10.1.0.9:8080",
    "10.1.0.10:8080",
  ]);
});

Deno.test("of duplicates in two slices the first counts, unless the other one is not terminating", () => {
  const going = { terminating: true, ready: false };
  for (
    const [first, second, third, counts] of [
      [{}, going, undefined, "first"],
      [going, {}, undefined, "second"],
      [{}, {}, undefined, "second"],
      [going, going, undefined, "first"],
      [going, {}, going, "second"],
      [{}, going, {}, "third"],
    ] as const
  ) {
    const slices = [first, second, third].flatMap((traits, index) =>
      traits === undefined
        ? []
        : aSlice([{ at: "10.1.0.1", ...traits, nodeName: ["first", "second", "third"][index] ?? "" }])
    );
    const joined = joinSlices(slices, http, "IPv4", "here");
    assert.deepEqual(
      joined.map(({ traits }) => traits.nodeName),
      [counts],
      JSON.stringify([first, second, third]),
    );
  }
});

Deno.test("an address that is listed ready and not ready is ready, in any order, in one slice or in two", () => {
  const ready = { at: "10.1.0.1", nodeName: "ready" };
  const notReady = { at: "10.1.0.1", nodeName: "not ready", ready: false, serving: false };
  const draining = { at: "10.1.0.1", nodeName: "draining", ready: false, terminating: true };
  const local = { ...ready, nodeName: "here" };
  for (
    const [pair, winner] of [
      [[ready, notReady], "ready"],
      [[ready, draining], "ready"],
      [[notReady, draining], "draining"],
      [[local, ready], "here"],
    ] as const
  ) {
    for (const order of [pair, pair.toReversed()]) {
      const oneSlice = [aSlice(order)];
      const twoSlices = order.map((sketch, index) => aSlice([sketch], { name: `web-${index}` }));
      for (const slices of [oneSlice, twoSlices]) {
        const joined = joinSlices(slices, http, "IPv4", "here");
        assert.deepEqual(joined.map(({ traits }) => traits.nodeName), [winner]);
      }
    }
  }
});

Deno.test("an endpoint is local when its node is this one", () => {
  const slices = [
    aSlice([{ at: "10.1.0.1", nodeName: "here" }, { at: "10.1.0.2", nodeName: "there" }, { at: "10.1.0.3" }]),
  ];
  const local = (nodeName: string) =>
    joinSlices(slices, http, "IPv4", nodeName).map(({ endpoint }) => endpoint.isLocal);
  assert.deepEqual(local("here"), [true, false, false]);
  assert.deepEqual(local(""), [false, false, false]);
});

Deno.test("an endpoint may reach itself here when it is on this node or its slice names no node", () => {
  const slices = [
    aSlice([{ at: "10.1.0.1", nodeName: "here" }, { at: "10.1.0.2", nodeName: "there" }, { at: "10.1.0.3" }]),
  ];
  const joined = joinSlices(slices, http, "IPv4", "here").map(({ endpoint }) => endpoint);
  assert.deepEqual(joined.map(mayReachItselfHere), [true, false, true]);
});

Deno.test("an endpoint has the weight of its slice, or else of the service; the default weight is absent", () => {
  const slices = [
    aSlice([{ at: "10.1.0.1" }], { name: "web-1" }),
    aSlice([{ at: "10.1.0.2" }], { name: "web-2", weight: 7 }),
    aSlice([{ at: "10.1.0.3" }], { name: "web-3", weight: 0 }),
    aSlice([{ at: "10.1.0.4" }], { name: "web-4", weight: 1 }),
  ];
  const weights = (serviceWeight?: number) =>
    joinSlices(slices, http, "IPv4", "here", serviceWeight).map(({ endpoint }) => endpoint.weight);
  assert.deepEqual(weights(), [undefined, 7, 0, undefined]);
  assert.deepEqual(weights(5), [5, 7, 0, undefined]);
  const [usual] = joinSlices(slices, http, "IPv4", "here");
  assert.ok(usual !== undefined && !("weight" in usual.endpoint));
});

Deno.test("topology hints: docs/behaviour.md §3, the table of modes", () => {
  const zone = (...zoneHints: string[]) => ({ zoneHints });
  const node = (...nodeHints: string[]) => ({ nodeHints });
  const rows: readonly [what: string, first: object, second: object, third: object, cluster: string][] = [
    ["no hints: all", {}, {}, {}, "1 2 3"],
    ["node hints of this node", node("here"), node("there"), node("there", "here"), "1 3"],
    ["node hints, none of them this node", node("there"), node("there"), node("elsewhere"), "1 2 3"],
    ["one endpoint without node hint", node("here"), node("there"), {}, "1 2 3"],
    ["zone hints of this zone", zone("a"), zone("b"), zone("b", "a"), "1 3"],
    ["zone hints, none of them this zone", zone("b"), zone("c"), zone("b"), "1 2 3"],
    ["one endpoint without zone hint", zone("a"), zone("b"), {}, "1 2 3"],
    [
      "node hints take precedence over zone hints",
      { ...node("here"), ...zone("b") },
      { ...node("there"), ...zone("a") },
      { ...node("there"), ...zone("a") },
      "1",
    ],
    [
      "zone hints apply when node hints do not",
      { ...node("there"), ...zone("a") },
      { ...node("there"), ...zone("b") },
      { ...node("there"), ...zone("a") },
      "1 3",
    ],
    ["an endpoint that is not ready needs no hint", node("here"), node("there"), { ready: false }, "1"],
    [
      "hints of an endpoint that is not ready do not count",
      { ...node("here"), ready: false },
      node("there"),
      node("there"),
      "2 3",
    ],
  ];
  for (const [what, first, second, third, cluster] of rows) {
    const sketches = [{ at: "10.1.0.1", ...first }, { at: "10.1.0.2", ...second }, {
      at: "10.1.0.3",
      ...third,
    }];
    assert.equal(select(sketches).cluster, cluster, what);
  }
});

Deno.test("a node without a zone uses all endpoints, whatever their zone hints", () => {
  const sketches = [{ at: "10.1.0.1", zoneHints: ["a"] }, { at: "10.1.0.2", zoneHints: ["b"] }];
  assert.equal(select(sketches, both, { nodeName: "here", zone: "" }).cluster, "1 2");
});

Deno.test("hints do not apply to local endpoints", () => {
  const sketches = [
    { at: "10.1.0.1", nodeName: "here", zoneHints: ["b"] },
    { at: "10.1.0.2", nodeName: "there", zoneHints: ["a"] },
  ];
  assert.deepEqual(select(sketches), { cluster: "2", local: "1", hasAny: true });
});

Deno.test("readiness and termination decide which endpoints get connections", () => {
  const ready = {}, unready = { ready: false, serving: false };
  const serving = { ready: false, serving: true };
  const draining = { ready: false, serving: true, terminating: true };
  const dying = { ready: false, serving: false, terminating: true };
  const published = { ready: true, serving: false, terminating: true };
  const rows: readonly [what: string, here: readonly object[], there: readonly object[], object][] = [
    ["nothing", [], [], { cluster: "", local: "", hasAny: false }],
    ["ready everywhere", [ready], [ready], { cluster: "1 11", local: "1", hasAny: true }],
    ["ready elsewhere only", [], [ready], { cluster: "11", local: "", hasAny: true }],
    ["none ready: those that drain", [draining], [draining], { cluster: "1 11", local: "1", hasAny: true }],
    ["ready wins over draining", [draining, ready], [draining], { cluster: "2", local: "2", hasAny: true }],
    ["draining here, ready there", [draining], [ready], { cluster: "11", local: "1", hasAny: true }],
    ["draining there, ready here", [ready], [draining], { cluster: "1", local: "1", hasAny: true }],
    ["not ready", [unready], [unready], { cluster: "", local: "", hasAny: false }],
    ["serving but neither ready nor terminating", [serving], [], { cluster: "", local: "", hasAny: false }],
    ["terminating and not serving", [dying], [dying], { cluster: "", local: "", hasAny: false }],
    ["ready although terminating (publishNotReadyAddresses)", [published], [], {
      cluster: "1",
      local: "1",
      hasAny: true,
    }],
  ];
  for (const [what, onThisNode, elsewhere, expected] of rows) {
    const sketches = [
      ...onThisNode.map((traits, index) => ({ at: `10.1.0.${index + 1}`, nodeName: "here", ...traits })),
      ...elsewhere.map((traits, index) => ({ at: `10.1.0.${index + 11}`, nodeName: "there", ...traits })),
    ];
    assert.deepEqual(select(sketches), expected, what);
  }
});

Deno.test("hints do not apply to terminating endpoints", () => {
  const draining = { ready: false, serving: true, terminating: true };
  const sketches = [{ at: "10.1.0.1", ...draining, zoneHints: ["b"] }, {
    at: "10.1.0.2",
    ...draining,
    zoneHints: ["a"],
  }];
  assert.equal(select(sketches).cluster, "1 2");
});

Deno.test("a list that is not needed is empty, and hasAny is set nevertheless", () => {
  const sketches = [{ at: "10.1.0.1", nodeName: "there" }];
  assert.deepEqual(select(sketches, { cluster: false, local: true }), {
    cluster: "",
    local: "",
    hasAny: true,
  });
  assert.deepEqual(select(sketches, { cluster: true, local: false }), {
    cluster: "1",
    local: "",
    hasAny: true,
  });
});
