import assert from "node:assert/strict";
import fc from "fast-check";
import { type Staleness, stalenessOf } from "../../../backends/conntrack/staleness.ts";
import { formatSocketAddress } from "../../../core/net/address.ts";
import { planOf } from "../plans.ts";
import { flowFrom, type FlowText } from "./flows.ts";

const clusterIP = "10.96.0.10:53";
const served = planOf({ protocol: "UDP", clusterIP, endpoints: ["10.1.0.1:53", "10.1.0.2:5353"] });
const unserved = planOf({ protocol: "UDP", clusterIP, endpoints: [], internal: "reject" });
const web = planOf({ protocol: "TCP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] });

const table: readonly (readonly [string, FlowText, typeof served | undefined, Staleness | undefined])[] = [
  ["UDP to an endpoint", { to: clusterIP, by: "10.1.0.2:5353" }, served, undefined],
  [
    "UDP to an endpoint's address at another port",
    { to: clusterIP, by: "10.1.0.2:53" },
    served,
    "endpoint gone",
  ],
  ["UDP to an endpoint that is gone", { to: clusterIP, by: "10.1.0.9:53" }, served, "endpoint gone"],
  [
    "UDP of a service that lost its last endpoint",
    { to: clusterIP, by: "10.1.0.1:53" },
    unserved,
    "endpoint gone",
  ],
  ["UDP of a service that is gone", { to: clusterIP, by: "10.1.0.1:53" }, undefined, "endpoint gone"],
  [
    "UDP that was never answered",
    { to: clusterIP, by: "10.1.0.9:53", replied: false },
    served,
    "endpoint gone",
  ],
  ["UDP from before the service", { to: clusterIP, replied: false }, served, "untranslated"],
  ["UDP from before the service, answered", { to: clusterIP }, served, "untranslated"],
  ["UDP to the previous owner of the address", { to: clusterIP }, undefined, undefined],
  ["UDP in the zone of a virtual switch", { to: clusterIP, zone: 7 }, served, undefined],
  ["UDP translated in another zone", { to: clusterIP, by: "10.1.0.9:53", zone: 7 }, served, "endpoint gone"],
  ["TCP to an endpoint", { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.1:80" }, web, undefined],
  [
    "TCP to an endpoint that is gone",
    { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.9:80" },
    web,
    undefined,
  ],
  [
    "TCP attempt at an endpoint that is gone",
    { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.9:80", replied: false },
    web,
    "endpoint gone",
  ],
  [
    "TCP attempt at an endpoint",
    { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.1:80", replied: false },
    web,
    undefined,
  ],
  [
    "TCP attempt at an endpoint of this node that no other node uses",
    { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.3:80", replied: false },
    {
      ...web,
      localEndpoints: planOf({ protocol: "TCP", clusterIP, endpoints: ["10.1.0.3:80"] }).clusterEndpoints,
    },
    undefined,
  ],
  ["TCP attempted before", { protocol: "TCP", to: "10.96.0.10:80", replied: false }, web, "untranslated"],
  ["TCP from before the service", { protocol: "TCP", to: "10.96.0.10:80" }, web, undefined],
  [
    "TCP of a service that is gone",
    { protocol: "TCP", to: "10.96.0.10:80", by: "10.1.0.1:80" },
    undefined,
    undefined,
  ],
];

for (const [what, flow, owner, expected] of table) {
  Deno.test(`${what}: ${expected ?? "stays"}`, () => {
    assert.equal(stalenessOf(flowFrom(flow), owner), expected);
  });
}

Deno.test("a flow to an endpoint at the frontend's own address does not count as untranslated", () => {
  const hostNetwork = planOf({ protocol: "UDP", clusterIP, endpoints: [clusterIP] });
  assert.equal(stalenessOf(flowFrom({ to: clusterIP }), hostNetwork), undefined);
});

Deno.test("UDP flows to serving endpoints and answered TCP connections stay in all cases", () => {
  const socket = fc.constantFrom("10.1.0.1:53", "10.1.0.2:53", "10.1.0.1:54", clusterIP);
  fc.assert(
    fc.property(
      fc.uniqueArray(socket),
      socket,
      fc.boolean(),
      fc.constantFrom(0, 7),
      (endpoints, by, replied, zone) => {
        const plan = planOf({
          protocol: "UDP",
          clusterIP,
          endpoints,
          internal: endpoints.length > 0 ? "cluster" : "reject",
        });
        const flow = flowFrom({ to: clusterIP, by, replied, zone });
        const isServed = plan.servingEndpoints.some(({ address, port }) =>
          formatSocketAddress(address, port) === by
        );
        if (isServed) assert.equal(stalenessOf(flow, plan), undefined);
        else if (by !== clusterIP) assert.equal(stalenessOf(flow, plan), "endpoint gone");
        const tcp = flowFrom({ protocol: "TCP", to: clusterIP, by, replied: true, zone });
        assert.equal(stalenessOf(tcp, { ...plan, protocol: "TCP" }), undefined);
      },
    ),
  );
});
