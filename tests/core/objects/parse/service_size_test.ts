import assert from "node:assert/strict";
import { MAX_ENTRIES_PER_SERVICE } from "../../../../core/objects/parse/service_size.ts";
import { parseObject } from "../../../../core/objects/parse/index.ts";

interface Size {
  readonly ports: number;
  readonly externalIPs?: number;
  readonly balanced?: readonly string[];
  readonly ranges?: readonly string[];
}

function parse({ ports, externalIPs = 0, balanced = [], ranges = [] }: Size) {
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
  return parseObject({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "large" },
    spec: {
      clusterIP: "10.96.0.10",
      ports: numbers(ports).map((index) => ({ name: `p${index}`, port: 1 + index })),
      externalIPs: numbers(externalIPs).map((index) => `203.0.${index >> 8}.${index & 255}`),
      loadBalancerSourceRanges: ranges,
    },
    status: { loadBalancer: { ingress: balanced.map((ip) => ({ ip })) } },
  }, () => {});
}

/** Disjoint ranges of one address. */
const manyRanges = (count: number) =>
  Array.from(
    { length: count },
    (_, index) => `100.${index >> 15}.${(index >> 7) & 255}.${(index & 127) * 2}/32`,
  );

const isAccepted = (size: Size) => "object" in parse(size);

Deno.test("a Service that needs too many entries is rejected, and the message names the numbers", () => {
  assert.ok(isAccepted({ ports: 3000, externalIPs: 24 }));
  const parsed = parse({ ports: 3000, externalIPs: 60 });
  assert.ok("invalid" in parsed);
  assert.equal(
    parsed.invalid,
    "Service default/large: spec: 3000 ports at 61 addresses make 183000 entries, and a Service may have at most " +
      `${MAX_ENTRIES_PER_SERVICE}; use fewer ports, addresses or ranges, or split the Service`,
  );
});

Deno.test("source ranges count once per port and load-balancer address of their family", () => {
  const balanced = ["192.0.2.1"];
  assert.ok(isAccepted({ ports: 2, balanced, ranges: manyRanges(60_000) }));
  const parsed = parse({ ports: 3, balanced, ranges: manyRanges(60_000) });
  assert.ok("invalid" in parsed);
  assert.match(
    parsed.invalid,
    /^Service default\/large: spec: 3 ports at 2 addresses and 60000 source ranges make 180006/,
  );
  assert.ok(isAccepted({ ports: 3, balanced: ["2001:db8::1"], ranges: manyRanges(60_000) }));
  assert.ok(isAccepted({ ports: 3, ranges: manyRanges(60_000) }), "no load balancer");
});

Deno.test("source ranges that others cover do not count", () => {
  assert.ok(
    isAccepted({ ports: 3, balanced: ["192.0.2.1"], ranges: ["100.0.0.0/8", ...manyRanges(60_000)] }),
  );
});
