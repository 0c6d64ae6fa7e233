import assert from "node:assert/strict";
import { type BalancedServer, compile } from "../../../../backends/ipvs/compile.ts";
import { type ActualServer, diffServers } from "../../../../backends/ipvs/servers/diff.ts";
import { planOf, settingsOf } from "../../plans.ts";
import { defaultOptions } from "../options.ts";
import { differenceTexts } from "../texts.ts";

const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.1.1:80", "10.1.1.2:80"] });
const { servers: desired } = compile(plan, settingsOf("IPv4"), defaultOptions);

/** The desired servers as the kernel holds them, with changes. */
function inKernel(different: (server: BalancedServer) => Partial<ActualServer>): ActualServer[] {
  return desired.map((server) => ({ ...server, persistencePrefix: 32, ...different(server) }));
}

Deno.test("servers that are as desired are left alone", () => {
  const asDesired = inKernel(({ realServers }) => ({
    realServers: realServers.map((realServer) => ({ ...realServer, isMasqueraded: true })),
  }));
  assert.deepEqual(differenceTexts(diffServers(desired, asDesired)), []);
});

Deno.test("a virtual server that another program changed is repaired", () => {
  for (
    const change of [{ scheduler: "lc" }, { persistenceSeconds: 9 }, { flags: 8 }, { persistencePrefix: 24 }]
  ) {
    assert.deepEqual(differenceTexts(diffServers(desired, inKernel(() => change))), [
      "* 10.96.0.10:80/TCP rr",
    ]);
  }
});

Deno.test("a real server with another weight, or whose replies bypass the node, is repaired", () => {
  for (const change of [{ weight: 0 }, { isMasqueraded: false }]) {
    const before = inKernel(({ realServers: [first, ...others] }) => ({
      realServers: first === undefined ? [] : [{ ...first, ...change }, ...others],
    }));
    assert.deepEqual(differenceTexts(diffServers(desired, before)), [
      "* 10.96.0.10:80/TCP -> 10.1.1.1:80",
    ]);
  }
});

Deno.test("TCP and UDP of one address and port are two virtual servers", () => {
  const udp = desired.map((server) => ({ ...server, protocol: "UDP" as const, realServers: [] }));
  assert.deepEqual(differenceTexts(diffServers([], udp)), ["- 10.96.0.10:80/UDP rr"]);
  assert.deepEqual(differenceTexts(diffServers([...desired, ...udp], udp)), [
    "+ 10.96.0.10:80/TCP rr",
    "+ 10.96.0.10:80/TCP -> 10.1.1.1:80",
    "+ 10.96.0.10:80/TCP -> 10.1.1.2:80",
  ]);
});

Deno.test("a real server whose weight changes is changed, and one that stays at weight 0 is not", () => {
  const weighed = (...weights: readonly number[]) => {
    const endpoints = weights.map((weight, index) => `10.1.1.${index}:80 weight ${weight}`);
    return compile(planOf({ clusterIP: "10.96.0.10:80", endpoints }), settingsOf("IPv4"), defaultOptions)
      .servers;
  };
  const difference = diffServers(weighed(1, 7, 2, 0, 0), weighed(1, 5, 0, 0, 3));
  assert.deepEqual(differenceTexts(difference), [
    "* 10.96.0.10:80/TCP -> 10.1.1.1:80 weight 7",
    "* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 2",
    "* 10.96.0.10:80/TCP -> 10.1.1.4:80 weight 0",
  ]);
});
