import assert from "node:assert/strict";
import { formatAddress, formatCidr } from "../../../../core/net/address.ts";
import type { Service } from "../../../../core/objects/objects.ts";
import { parseObject } from "../../../../core/objects/parse/index.ts";

type Raw = Readonly<Record<string, unknown>>;

/** A Service manifest with the required fields and additional `spec` fields. */
function manifest(spec: Raw = {}, others: { metadata?: Raw; status?: Raw } = {}): Raw {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", ...others.metadata },
    spec: { clusterIP: "10.96.0.10", ports: [{ port: 80 }], ...spec },
    status: others.status,
  };
}

function parse(raw: unknown): { service: Service; problems: readonly string[] } {
  const problems: string[] = [];
  const parsed = parseObject(raw, (problem) => problems.push(problem));
  assert.ok("object" in parsed, JSON.stringify(parsed));
  assert.ok(parsed.object.kind === "Service");
  return { service: parsed.object, problems };
}

Deno.test("missing fields have the values that the API server would fill in", () => {
  const { service, problems } = parse(manifest());
  assert.deepEqual({ ...service, clusterIPs: service.clusterIPs.map(formatAddress) }, {
    kind: "Service",
    namespace: "default",
    name: "web",
    created: "",
    clusterIPs: ["10.96.0.10"],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    affinitySeconds: 0,
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    weight: 1,
    balancing: undefined,
  });
  assert.deepEqual(problems, []);
});

Deno.test("every field of a Service is parsed as the API defines it", () => {
  const balanced = { loadBalancer: { ingress: [{ ip: "203.0.113.5" }] } };
  const rows: readonly [what: string, raw: Raw, field: (service: Service) => unknown, expected: unknown][] = [
    [
      "cluster IPs of both families",
      manifest({ clusterIPs: ["10.96.0.10", "fd00::10"], ipFamilies: ["IPv4", "IPv6"] }),
      (s) => s.clusterIPs.map(formatAddress),
      ["10.96.0.10", "fd00::10"],
    ],
    [
      "cluster IPs without ipFamilies",
      manifest({ clusterIPs: ["10.96.0.10", "fd00::10"] }),
      (s) => s.clusterIPs.map(formatAddress),
      ["10.96.0.10", "fd00::10"],
    ],
    [
      "a cluster IP beyond ipFamilies",
      manifest({ clusterIPs: ["10.96.0.10", "fd00::10"], ipFamilies: ["IPv4"] }),
      (s) => s.clusterIPs.map(formatAddress),
      ["10.96.0.10"],
    ],
    [
      "clusterIPs alone",
      manifest({ clusterIP: undefined, clusterIPs: ["fd00::10"] }),
      (s) => s.clusterIPs.map(formatAddress),
      ["fd00::10"],
    ],
    ["leading zeros", manifest({ clusterIP: "010.096.000.010" }), (s) => s.clusterIPs.map(formatAddress), [
      "10.96.0.10",
    ]],
    [
      "an unnamed port's printed defaults",
      manifest({ ports: [{ port: 53, protocol: "UDP", nodePort: 30053 }] }),
      (s) => s.ports,
      [{ name: "", protocol: "UDP", port: 53, nodePort: 30053 }],
    ],
    [
      "several ports",
      manifest({ ports: [{ name: "a", port: 1 }, { name: "b", port: 1, protocol: "SCTP" }] }),
      (s) => s.ports.map((p) => `${p.name} ${p.port}/${p.protocol}`),
      ["a 1/TCP", "b 1/SCTP"],
    ],
    [
      "one port number under two names",
      manifest({ ports: [{ name: "a", port: 1 }, { name: "b", port: 1 }] }),
      (s) => s.ports.length,
      2,
    ],
    [
      "external IPs",
      manifest({ externalIPs: ["198.51.100.1", "2001:db8::5"] }),
      (s) => s.externalIPs.map(formatAddress),
      ["198.51.100.1", "2001:db8::5"],
    ],
    [
      "a load balancer's address",
      manifest({}, { status: balanced }),
      (s) => s.loadBalancerIPs.map(formatAddress),
      ["203.0.113.5"],
    ],
    [
      "a load balancer's modes and hostnames",
      manifest({}, {
        status: {
          loadBalancer: {
            ingress: [
              { ip: "203.0.113.1", ipMode: "VIP" },
              { ip: "203.0.113.2", ipMode: "Proxy" },
              { hostname: "lb.example" },
              { ip: "", ipMode: "VIP" },
              { ip: "203.0.113.3", ipMode: null },
            ],
          },
        },
      }),
      (s) => s.loadBalancerIPs.map(formatAddress),
      ["203.0.113.1", "203.0.113.3"],
    ],
    [
      "source ranges with white space",
      manifest({ loadBalancerSourceRanges: [" 10.0.0.1/8\t", "fd00::/8 "] }),
      (s) => s.loadBalancerSourceRanges.map(formatCidr),
      ["10.0.0.0/8", "fd00::/8"],
    ],
    [
      "the weight of endpoints",
      manifest({}, { metadata: { annotations: { "proxy/weight": "7", other: "8" } } }),
      (s) => s.weight,
      7,
    ],
    [
      "how it is balanced",
      manifest({}, { metadata: { annotations: { "proxy/balancing": "maglev" } } }),
      (s) => s.balancing,
      "maglev",
    ],
    [
      "no affinity",
      manifest({ sessionAffinity: "None", sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }),
      (s) => s.affinitySeconds,
      0,
    ],
    [
      "affinity with the default timeout",
      manifest({ sessionAffinity: "ClientIP" }),
      (s) => s.affinitySeconds,
      10800,
    ],
    [
      "affinity with a timeout",
      manifest({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }),
      (s) => s.affinitySeconds,
      60,
    ],
    [
      "internal policy Local",
      manifest({ internalTrafficPolicy: "Local" }),
      (s) => s.internalTrafficPolicy,
      "Local",
    ],
    [
      "external Local on NodePort",
      manifest({ type: "NodePort", externalTrafficPolicy: "Local" }),
      (s) => s.externalTrafficPolicy,
      "Local",
    ],
    [
      "external Local on LoadBalancer",
      manifest({ type: "LoadBalancer", externalTrafficPolicy: "Local" }),
      (s) => s.externalTrafficPolicy,
      "Local",
    ],
    [
      "external Local on ClusterIP",
      manifest({ externalTrafficPolicy: "Local" }),
      (s) => s.externalTrafficPolicy,
      "Cluster",
    ],
    [
      "external Local on ClusterIP with external IPs",
      manifest({ externalTrafficPolicy: "Local", externalIPs: ["198.51.100.1"] }),
      (s) => s.externalTrafficPolicy,
      "Local",
    ],
    [
      "the health check port of a Local load balancer",
      manifest({ type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 32000 }),
      (s) => s.healthCheckNodePort,
      32000,
    ],
    [
      "the health check port under policy Cluster",
      manifest({ type: "LoadBalancer", healthCheckNodePort: 32000 }),
      (s) => s.healthCheckNodePort,
      0,
    ],
    [
      "the health check port of a NodePort service",
      manifest({ type: "NodePort", externalTrafficPolicy: "Local", healthCheckNodePort: 32000 }),
      (s) => s.healthCheckNodePort,
      0,
    ],
    [
      "the creation time",
      manifest({}, { metadata: { creationTimestamp: "2026-01-02T03:04:05Z" } }),
      (s) => s.created,
      "2026-01-02T03:04:05Z",
    ],
    [
      "a creation time that kubectl writes as null",
      manifest({}, { metadata: { creationTimestamp: null } }),
      (s) => s.created,
      "",
    ],
    [
      "names that objects of JavaScript have",
      manifest({}, { metadata: { name: "constructor", namespace: "prototype" } }),
      (s) => `${s.namespace}/${s.name}`,
      "prototype/constructor",
    ],
  ];
  for (const [what, raw, field, expected] of rows) {
    assert.deepEqual(field(parse(raw).service), expected, what);
  }
});

Deno.test("a Service that is not to be proxied is a delete of that Service", () => {
  const label = "service.kubernetes.io/service-proxy-name";
  for (
    const [raw, why] of [
      [manifest({ clusterIP: "None" }), "it is headless (clusterIP None)"],
      [manifest({ clusterIP: undefined, clusterIPs: ["None"] }), "it is headless (clusterIP None)"],
      [manifest({ type: "ExternalName", ports: undefined }), "it is of type ExternalName"],
      [manifest({ clusterIP: "" }), "it has no cluster IP"],
      [manifest({ clusterIP: undefined }), "it has no cluster IP"],
      [manifest({}, { metadata: { labels: { [label]: "" } } }), `it has the label ${label}`],
    ] as const
  ) {
    assert.deepEqual(parseObject(raw, assert.fail), {
      ignored: { kind: "Service", namespace: "default", name: "web" },
      why,
    });
  }
});

Deno.test("an error in a Service names object, field and fix", () => {
  const port = (port: unknown) => manifest({ ports: [{ name: "ok", port: 80 }, { name: "bad", port }] });
  for (
    const [raw, message] of [
      [port(70000), "spec.ports[1].port: 70000 is not a port (1-65535)"],
      [port(0), "spec.ports[1].port: 0 is not a port (1-65535)"],
      [port(undefined), "spec.ports[1].port: missing; write a port (1-65535)"],
      [port(-1), "spec.ports[1].port: -1 is not a port (1-65535)"],
      [port(80.5), "spec.ports[1].port: 80.5 is not a port (1-65535)"],
      [port(NaN), "spec.ports[1].port: NaN is not a port (1-65535)"],
      [port("80"), 'spec.ports[1].port: "80" is not a port (1-65535); write it without quotes'],
      [port([80]), "spec.ports[1].port: a list is not a port (1-65535)"],
      [
        manifest({ ports: [{ port: 80, nodePort: 65536 }] }),
        "spec.ports[0].nodePort: 65536 is not a port (1-65535)",
      ],
      [manifest({ ports: [] }), "spec.ports: missing; a Service needs at least one"],
      [manifest({ ports: { port: 80 } }), "spec.ports: a mapping is not a list"],
      [manifest({ ports: [80] }), "spec.ports[0]: 80 is not a mapping"],
      [
        manifest({ ports: [{ port: 1, protocol: "tcp" }] }),
        'spec.ports[0].protocol: "tcp" is none of TCP, UDP, SCTP',
      ],
      [
        manifest({ ports: [{ name: "a", port: 1 }, { name: "a", port: 2 }] }),
        'spec.ports[1].name: "a" names a second TCP port; give each its own name',
      ],
      [
        manifest({ ports: [{ name: "a/b\n", port: 1 }] }),
        'spec.ports[0].name: "a/b\\n" is not a port name; use at most 63 lower-case letters, digits and "-"',
      ],
      [manifest({ clusterIP: "10.96.0.256" }), 'spec.clusterIP: "10.96.0.256" is not an IP address'],
      [manifest({ clusterIP: "0.0.0.0" }), 'spec.clusterIP: "0.0.0.0" is the unspecified address'],
      [
        manifest({ clusterIPs: ["10.96.0.10", "10.96.0.11"] }),
        "spec.clusterIPs[1]: 10.96.0.11 is a second IPv4 address; one per family",
      ],
      [
        manifest({ ipFamilies: ["IPv6"] }),
        "spec.clusterIP: 10.96.0.10 is not of family IPv6 (ipFamilies)",
      ],
      [
        manifest({ clusterIPs: ["10.96.0.11"] }),
        'spec.clusterIP: "10.96.0.10" differs from clusterIPs[0], "10.96.0.11"',
      ],
      [manifest({ ipFamilies: ["IPv5"] }), 'spec.ipFamilies[0]: "IPv5" is neither IPv4 nor IPv6'],
      [
        manifest({ loadBalancerSourceRanges: ["10.0.0.0/8", "10.0.0.0/33"] }),
        'spec.loadBalancerSourceRanges[1]: "10.0.0.0/33" is not a CIDR such as 192.0.2.0/24',
      ],
      [manifest({ sessionAffinity: "Cookie" }), 'spec.sessionAffinity: "Cookie" is none of None, ClientIP'],
      [
        manifest({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } }),
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is not a number of seconds (1-86400)",
      ],
      [
        manifest({ type: "Nodeport" }),
        'spec.type: "Nodeport" is none of ClusterIP, NodePort, LoadBalancer, ExternalName',
      ],
      [
        manifest({ externalTrafficPolicy: "local" }),
        'spec.externalTrafficPolicy: "local" is none of Cluster, Local',
      ],
      [manifest({ externalIPs: [1] }), "spec.externalIPs[0]: 1 is not a string"],
      [{ ...manifest(), spec: "x" }, 'spec: "x" is not a mapping'],
      [
        manifest({}, { status: { loadBalancer: { ingress: "x" } } }),
        'status.loadBalancer.ingress: "x" is not a list',
      ],
      [manifest({}, { metadata: { creationTimestamp: 5 } }), "metadata.creationTimestamp: 5 is not a string"],
      [manifest({}, { metadata: { labels: [] } }), "metadata.labels: a list is not a mapping"],
    ] as const
  ) {
    const parsed = parseObject(raw, assert.fail);
    assert.deepEqual(parsed, {
      invalid: `Service default/web: ${message}`,
      ref: { kind: "Service", namespace: "default", name: "web" },
    });
  }
});

Deno.test("an invalid external address is reported and skipped, the others are served", () => {
  const { service, problems } = parse(manifest(
    { externalIPs: ["nonsense\n", "198.51.100.1"] },
    { status: { loadBalancer: { ingress: [{ ip: "203.0.113.5." }, { ip: "203.0.113.6" }] } } },
  ));
  assert.deepEqual(service.externalIPs.map(formatAddress), ["198.51.100.1"]);
  assert.deepEqual(service.loadBalancerIPs.map(formatAddress), ["203.0.113.6"]);
  assert.deepEqual(problems, [
    'Service default/web: status.loadBalancer.ingress[0].ip: "203.0.113.5." is not an IP address; skipped',
    'Service default/web: spec.externalIPs[0]: "nonsense\\n" is not an IP address; skipped',
  ]);
});

Deno.test("external IPs and load-balancer IPs are never special addresses", () => {
  for (
    const [written, what] of [
      ["0.0.0.0", "the unspecified address"],
      ["::", "the unspecified address"],
      ["127.0.0.53", "a loopback address"],
      ["::1", "a loopback address"],
      ["::ffff:127.0.0.1", "a loopback address"],
      ["169.254.169.254", "a link-local address"],
      ["fe80::1", "a link-local address"],
      ["224.0.0.1", "a multicast address"],
      ["239.255.255.255", "a multicast address"],
      ["ff02::1", "a multicast address"],
      ["255.255.255.255", "the broadcast address"],
    ]
  ) {
    const { service, problems } = parse(manifest(
      { externalIPs: [written, "198.51.100.1"] },
      { status: { loadBalancer: { ingress: [{ ip: written }, { ip: "203.0.113.6" }] } } },
    ));
    assert.deepEqual(service.externalIPs.map(formatAddress), ["198.51.100.1"]);
    assert.deepEqual(service.loadBalancerIPs.map(formatAddress), ["203.0.113.6"]);
    assert.deepEqual(problems, [
      `Service default/web: status.loadBalancer.ingress[0].ip: "${written}" is ${what}; skipped`,
      `Service default/web: spec.externalIPs[0]: "${written}" is ${what}; skipped`,
    ]);
  }
});

Deno.test("a Local load balancer without a health-check node port is served and reported", () => {
  const { problems } = parse(manifest({ type: "LoadBalancer", externalTrafficPolicy: "Local" }));
  assert.deepEqual(problems, [
    "Service default/web: spec.healthCheckNodePort: missing, so load balancers cannot tell which nodes have endpoints",
  ]);
});
