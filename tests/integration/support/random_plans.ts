import * as fc from "fast-check";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { planOf, type PlanText } from "../../backends/plans.ts";

/** A sequence of desired states. */

/** Services with frontends from a small pool, so that frontends often move between services. */
export const anyStep: fc.Arbitrary<readonly PlanText[]> = fc.tuple(
  ...["a", "b", "c", "d", "e", "f"].flatMap((name) => [service(name, "IPv4"), service(name, "IPv6")]),
).map((services) => services.filter((text) => text !== undefined));

function service(name: string, family: "IPv4" | "IPv6"): fc.Arbitrary<PlanText | undefined> {
  const ip = (prefix: string, host: string) =>
    family === "IPv4" ? `${prefix}${host}` : `[fd00:${prefix.slice(0, -1).replaceAll(".", ":")}::${host}]`;
  const sockets = (prefix: string) =>
    ["1:80", "2:80", "2:81"].map((host) => {
      const [address = "", port] = host.split(":");
      return `${ip(prefix, address)}:${port}`;
    });
  // So many that they share an endpoint list in mode nftables. Ports 80 and 81 use another map than port 8080.
  const manyAddresses = [80, 81, 8080].map((port) => ({
    clusterIP: `${ip("10.96.0.", "1")}:${port}`,
    externalIPs: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((host) => `${ip("198.51.100.", `${host}`)}:${port}`),
    loadBalancerIPs: [`${ip("203.0.113.", "1")}:${port}`],
  }));
  const endpoints = [1, 2, 3, 4, 5].map((host) =>
    `${ip("10.1.0.", String(host))}:8080${host <= 2 ? "@here" : ""}`
  );
  const policy = fc.constantFrom("cluster", "local");
  const text = fc.record({
    protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
    clusterIP: fc.constantFrom(...sockets("10.96.0.")),
    externalIPs: fc.subarray(sockets("192.0.2.")),
    loadBalancerIPs: fc.subarray(sockets("203.0.113.")),
    nodePort: fc.option(fc.constantFrom(30001, 30002, 30003), { nil: undefined }),
    internal: policy,
    external: policy,
    endpoints: fc.subarray(endpoints),
    healthCheckNodePort: fc.constantFrom(0, 0, 31001),
    affinitySeconds: fc.constantFrom(0, 0, 10, 30),
    many: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, ...manyAddresses),
    balancing: fc.constantFrom(undefined, undefined, "random", "maglev"),
    sourceRanges: fc.option(
      fc.subarray(
        family === "IPv4" ? ["0.0.0.0/1", "192.0.2.0/25", "192.0.2.128/32"] : ["fd00::/9", "2001:db8::/33"],
      ),
      { nil: undefined },
    ),
  }).map(({ nodePort, sourceRanges, many, ...text }): PlanText => ({
    ...text,
    ...many,
    name,
    family,
    ...(nodePort === undefined ? {} : { nodePort }),
    ...(sourceRanges === undefined ? {} : { sourceRanges }),
    ...routesFor(text),
  }));
  return fc.option(text, { nil: undefined, freq: 3 });
}

/** The planner's result for policies and endpoints: no route balances over an empty list. */
function routesFor(
  { endpoints, internal, external }: { endpoints: readonly string[]; internal: string; external: string },
): Pick<PlanText, "internal" | "external"> {
  if (endpoints.length === 0) return { internal: "reject", external: "reject" };
  const hasLocal = endpoints.some((endpoint) => endpoint.endsWith("@here"));
  return {
    internal: internal === "cluster" ? "cluster" : hasLocal ? "local" : "drop",
    external: external === "cluster" ? "cluster" : "local",
  };
}

/** Gives each frontend to the first service that claims it, as the planner does. */
export function granted(texts: readonly PlanText[]): Map<PlanKey, ServicePortPlan> {
  const taken = new Set<string>();
  const plans = new Map<PlanKey, ServicePortPlan>();
  for (const plan of texts.map(planOf)) {
    const frontends = plan.frontends.filter((frontend) => {
      const address = frontend.kind === "NodePort" ? plan.family : frontend.address;
      const claim = `${address} ${plan.protocol} ${frontend.port}`;
      return !taken.has(claim) && taken.add(claim);
    });
    plans.set(plan.key, { ...plan, frontends });
  }
  return plans;
}

export function changesBetween(
  old: ReadonlyMap<PlanKey, ServicePortPlan>,
  next: ReadonlyMap<PlanKey, ServicePortPlan>,
): PlanChange[] {
  return [...new Set([...old.keys(), ...next.keys()])].map((key) => ({
    key,
    old: old.get(key),
    new: next.get(key),
  }));
}
