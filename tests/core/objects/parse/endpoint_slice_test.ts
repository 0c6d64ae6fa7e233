import assert from "node:assert/strict";
import { formatAddress } from "../../../../core/net/address.ts";
import type { EndpointSlice } from "../../../../core/objects/objects.ts";
import { parseObject } from "../../../../core/objects/parse/index.ts";

type Raw = Readonly<Record<string, unknown>>;

function manifest(fields: Raw = {}, labels: Raw = { "kubernetes.io/service-name": "web" }): Raw {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "shop", labels },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: [{ addresses: ["10.1.0.1"] }],
    ...fields,
  };
}

function parse(raw: unknown): { slice: EndpointSlice; problems: readonly string[] } {
  const problems: string[] = [];
  const parsed = parseObject(raw, (problem) => problems.push(problem));
  assert.ok("object" in parsed, JSON.stringify(parsed));
  assert.ok(parsed.object.kind === "EndpointSlice");
  return { slice: parsed.object, problems };
}

Deno.test("a slice belongs to its service, and missing fields have the defaults of the API", () => {
  const { slice, problems } = parse(manifest());
  assert.deepEqual({ ...slice, endpoints: undefined }, {
    kind: "EndpointSlice",
    namespace: "shop",
    name: "web-1",
    service: "web",
    family: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: undefined,
    triggerTime: 0,
    weight: undefined,
  });
  assert.deepEqual(slice.endpoints.map((one) => ({ ...one, address: formatAddress(one.address) })), [{
    address: "10.1.0.1",
    traits: { ready: true, serving: true, terminating: false, nodeName: "", zoneHints: [], nodeHints: [] },
  }]);
  assert.deepEqual(problems, []);
});

Deno.test("the fields of an endpoint are kept", () => {
  const { slice } = parse(manifest({
    endpoints: [{
      addresses: ["010.001.0.1", "10.1.0.2"],
      conditions: { ready: false, serving: null, terminating: true },
      nodeName: "worker-1.example",
      hints: { forZones: [{ name: "eu-1a" }, { name: "eu-1b" }], forNodes: [{ name: "worker-1" }] },
    }],
  }));
  assert.deepEqual(
    slice.endpoints.map(({ address }) => formatAddress(address)),
    ["10.1.0.1"],
    "only the first address",
  );
  assert.deepEqual(slice.endpoints.map(({ traits }) => traits), [{
    ready: false,
    serving: true,
    terminating: true,
    nodeName: "worker-1.example",
    zoneHints: ["eu-1a", "eu-1b"],
    nodeHints: ["worker-1"],
  }]);
});

Deno.test("the time of the last change is parsed to milliseconds", () => {
  for (
    const [written, expected] of [
      ["2026-01-02T03:04:05.123456789Z", Date.UTC(2026, 0, 2, 3, 4, 5, 123)],
      ["2026-01-02T03:04:05+01:00", Date.UTC(2026, 0, 2, 2, 4, 5)],
      ["yesterday", 0],
      ["1", 0],
      ["2026-13-02T03:04:05Z", 0],
    ] as const
  ) {
    const annotations = { "endpoints.kubernetes.io/last-change-trigger-time": written };
    const labels = { "kubernetes.io/service-name": "web" };
    assert.equal(
      parse(manifest({ metadata: { name: "web-1", labels, annotations } })).slice.triggerTime,
      expected,
    );
  }
});

Deno.test("an annotation sets the weight of a slice's endpoints; an invalid one is reported and ignored", () => {
  const weighed = (written: unknown) => {
    const labels = { "kubernetes.io/service-name": "web" };
    const metadata = { name: "web-1", namespace: "shop", labels, annotations: { "proxy/weight": written } };
    const { slice, problems } = parse(manifest({ metadata }));
    return { weight: slice.weight, problems };
  };
  for (const [written, weight] of [["0", 0], ["1", 1], ["65535", 65535], ["007", 7], [null, undefined]]) {
    assert.deepEqual(weighed(written), { weight, problems: [] }, String(written));
  }
  for (
    const [written, shown] of [
      ["65536", '"65536"'],
      ["-1", '"-1"'],
      ["1.5", '"1.5"'],
      ["", '""'],
      [" 2", '" 2"'],
      ["2\n", '"2\\n"'],
      ["0x10", '"0x10"'],
      ["heavy", '"heavy"'],
      [2, "2"],
    ] as const
  ) {
    assert.deepEqual(weighed(written), {
      weight: undefined,
      problems: [
        'EndpointSlice shop/web-1: metadata.annotations["proxy/weight"]: ' +
        `${shown} is not a weight ("0" to "65535", in quotes); skipped`,
      ],
    });
  }
});

Deno.test("a slice that is not used is a delete of that slice", () => {
  for (
    const [raw, why] of [
      [
        manifest({}, { "kubernetes.io/service-name": "web", "service.kubernetes.io/headless": "" }),
        "it has the label service.kubernetes.io/headless",
      ],
      [manifest({}, {}), "it has no label kubernetes.io/service-name"],
      [manifest({}, { "kubernetes.io/service-name": "" }), "it has no label kubernetes.io/service-name"],
      [
        manifest({}, { "kubernetes.io/service-name": "a/b" }),
        "the value of its label kubernetes.io/service-name is not a Service name",
      ],
      [manifest({ addressType: "FQDN" }), 'its addressType is "FQDN"'],
    ] as const
  ) {
    assert.deepEqual(parseObject(raw, assert.fail), {
      ignored: { kind: "EndpointSlice", namespace: "shop", name: "web-1" },
      why,
    });
  }
});

Deno.test("the label service-proxy-name of a slice is ignored", () => {
  const labels = { "kubernetes.io/service-name": "web", "service.kubernetes.io/service-proxy-name": "other" };
  assert.equal(parse(manifest({}, labels)).slice.service, "web");
});

Deno.test("ports and endpoints that cannot be used are skipped and reported, the others are used", () => {
  const { slice, problems } = parse(manifest({
    ports: [{ name: null, port: 1 }, { name: "none" }, { name: "zero", port: 0 }, { port: 8080 }],
    endpoints: [
      { addresses: [] },
      {},
      { addresses: ["web.example"] },
      { addresses: ["fd00::1"] },
      { addresses: [7] },
      { addresses: ["10.1.0.9"] },
    ],
  }));
  assert.deepEqual(slice.ports, [{ name: "", protocol: "TCP", port: 8080 }]);
  assert.deepEqual(slice.endpoints.map(({ address }) => formatAddress(address)), ["10.1.0.9"]);
  assert.deepEqual(problems.map((problem) => problem.replace("EndpointSlice shop/web-1: ", "")), [
    'ports[0].name: null; skipped (leave it out, or write "")',
    "ports[1].port: missing; skipped",
    "ports[2].port: missing; skipped",
    "endpoints[0].addresses[0]: missing; skipped",
    "endpoints[1].addresses[0]: missing; skipped",
    'endpoints[2].addresses[0]: "web.example" is not an IPv4 address; skipped',
    'endpoints[3].addresses[0]: "fd00::1" is not an IPv4 address; skipped',
    "endpoints[4].addresses[0]: 7 is not an IPv4 address; skipped",
  ]);
});

Deno.test("an error in a slice names object, field and fix", () => {
  for (
    const [raw, message] of [
      [manifest({ addressType: undefined }), "addressType: missing; write IPv4 or IPv6"],
      [manifest({ ports: [{ name: "a", port: 99999 }] }), "ports[0].port: 99999 is not a port (1-65535)"],
      [manifest({ endpoints: "10.1.0.1" }), 'endpoints: "10.1.0.1" is not a list'],
      [
        manifest({ endpoints: [{ addresses: "10.1.0.1" }] }),
        'endpoints[0].addresses: "10.1.0.1" is not a list',
      ],
      [
        manifest({ endpoints: [{ addresses: ["10.1.0.1"], conditions: { ready: "yes" } }] }),
        'endpoints[0].conditions.ready: "yes" is neither true nor false',
      ],
      [
        manifest({ endpoints: [{ addresses: ["10.1.0.1"], nodeName: "a b" }] }),
        'endpoints[0].nodeName: "a b" is not the name of a node or zone',
      ],
      [
        manifest({ endpoints: [{ addresses: ["10.1.0.1"], hints: { forZones: [{ name: 1 }] } }] }),
        "endpoints[0].hints.forZones[0].name: 1 is not a string",
      ],
    ] as const
  ) {
    const parsed = parseObject(raw, assert.fail);
    assert.ok("invalid" in parsed, JSON.stringify(parsed));
    assert.equal(parsed.invalid, `EndpointSlice shop/web-1: ${message}`);
  }
});

Deno.test("endpoints with equal traits share them in memory", () => {
  const endpoints = (
    host: number,
  ) => [{ addresses: [`10.1.0.${host}`], nodeName: "worker-1", hints: { forZones: [{ name: "a" }] } }];
  const [one, other] = [1, 2].map((host) => parse(manifest({ endpoints: endpoints(host) })).slice);
  assert.ok(one !== undefined && other !== undefined);
  assert.equal(one.endpoints[0]?.traits, other.endpoints[0]?.traits);
  assert.equal(one.ports, other.ports);
});
