import assert from "node:assert/strict";
import fc from "fast-check";
import { describeConflict, FrontendClaims } from "../../../core/plan/frontend_claims.ts";
import type { Service } from "../../../core/objects/objects.ts";
import { describeFrontend, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { planService } from "../../../core/plan/planner.ts";
import { address, aService, here, webPort } from "./builders.ts";

/** Plans of default/NAME. */
function plans(name: string, service: Partial<Service>): readonly ServicePortPlan[] {
  return planService(aService({ ...service, name }), [], here);
}

/** default/NAME with this ClusterIP, which shares external IP 198.51.100.1. */
function sharing(name: string, clusterIP: string): readonly ServicePortPlan[] {
  return plans(name, { clusterIPs: [address(clusterIP)], externalIPs: [address("198.51.100.1")] });
}

const a = sharing("a", "10.96.0.10");
const b = sharing("b", "10.96.0.11");

function shown(planned: readonly ServicePortPlan[]): readonly string[] {
  return planned.flatMap(({ family, protocol, frontends }) =>
    frontends.map((frontend) => `${family} ${describeFrontend(frontend, protocol)}`)
  );
}

/** Claims, and plans again whoever has to be, as `DesiredPlans` does. */
class Claims {
  readonly claims = new FrontendClaims();
  readonly desired = new Map<string, readonly ServicePortPlan[]>();
  readonly planned = new Map<string, readonly ServicePortPlan[]>();

  /** @returns the new conflicts of all services that were planned. */
  set(name: string, wanted: readonly ServicePortPlan[]): readonly string[] {
    this.desired.set(name, wanted);
    const conflicts: string[] = [];
    const dirty = [name];
    for (let steps = 0; dirty.length > 0; steps++) {
      assert.ok(steps < 1000, "claims do not come to rest");
      const next = dirty.shift() ?? "";
      const claim = this.claims.claim(`default/${next}`, this.desired.get(next) ?? []);
      this.planned.set(next, claim.plans);
      conflicts.push(...claim.conflicts.map(describeConflict));
      dirty.push(...claim.replan.map((service) => service.replace("default/", "")));
    }
    return conflicts;
  }

  of(name: string): readonly string[] {
    return shown(this.planned.get(name) ?? []);
  }
}

Deno.test("a free frontend can be claimed, and claiming it again changes nothing", () => {
  const claims = new FrontendClaims();
  for (let times = 0; times < 2; times++) {
    const claim = claims.claim("default/a", a);
    assert.equal(claim.plans[0], a[0]);
    assert.deepEqual([claim.conflicts, claim.replan, claim.isSettled], [[], [], false]);
  }
});

Deno.test("the first claimant keeps the frontend, and the second gets its other frontends", () => {
  const claims = new Claims();
  claims.set("a", a);
  assert.deepEqual(claims.set("b", b), ["198.51.100.1:80/TCP of default/b:http is held by default/a:http"]);
  assert.deepEqual(claims.of("b"), ["IPv4 10.96.0.11:80/TCP"]);
});

Deno.test("a conflict is reported once, counted while it lasts, and reported again with another holder", () => {
  const claims = new Claims();
  claims.set("a", a);
  assert.equal(claims.set("b", b).length, 1);
  for (let change = 0; change < 20; change++) assert.deepEqual(claims.set("b", b), []);
  assert.equal(claims.claims.refusals, 1);
  assert.equal(claims.set("c", sharing("c", "10.96.0.12")).length, 1);
  assert.equal(claims.claims.refusals, 2);
  assert.deepEqual(claims.set("a", []), ["198.51.100.1:80/TCP of default/c:http is held by default/b:http"]);
  assert.equal(claims.claims.refusals, 1);
  claims.set("b", []);
  assert.equal(claims.claims.refusals, 0);

  claims.set("a", a);
  assert.deepEqual(claims.set("cluster", plans("cluster", { clusterIPs: [address("198.51.100.1")] })), [
    "198.51.100.1:80/TCP of default/c:http is refused because 198.51.100.1 is the ClusterIP of default/cluster",
    "198.51.100.1:80/TCP of default/a:http is refused because 198.51.100.1 is the ClusterIP of default/cluster",
  ]);
});

Deno.test("when the holder is gone, the waiting service is planned again and gets the frontend", () => {
  const claims = new FrontendClaims();
  claims.claim("default/a", a);
  claims.claim("default/b", b);
  assert.deepEqual(claims.claim("default/a", []).replan, ["default/b"]);
  const claim = claims.claim("default/b", b);
  assert.equal(claim.plans[0], b[0]);
  assert.ok(claim.isSettled);
  assert.deepEqual(claims.claim("default/b", []).replan, []);
});

Deno.test("a holder that no longer claims a frontend releases it, also before it claims the rest", () => {
  for (const release of ["claim", "release"] as const) {
    const claims = new FrontendClaims();
    claims.claim("default/a", a);
    claims.claim("default/b", b);
    const changed = claims[release]("default/a", plans("a", {}));
    assert.deepEqual("replan" in changed ? changed.replan : changed, ["default/b"]);
    assert.equal(claims.claim("default/b", b).plans[0], b[0]);
  }
});

Deno.test("a service that claims a frontend no longer does not wait for it", () => {
  for (const giveUp of [[], plans("b", { clusterIPs: [address("10.96.0.11")] })]) {
    const claims = new FrontendClaims();
    claims.claim("default/a", a);
    claims.claim("default/b", b);
    claims.claim("default/b", giveUp);
    assert.deepEqual(claims.claim("default/a", []).replan, []);
  }
});

Deno.test("node ports conflict by protocol and family, and not with addresses", () => {
  const withNodePort = (name: string, protocol: "TCP" | "UDP", clusterIP: string) =>
    plans(name, {
      clusterIPs: [address(clusterIP)],
      ports: [{ ...webPort, protocol, port: 30080, nodePort: 30080 }],
    });
  const claims = new Claims();
  assert.deepEqual(claims.set("a", withNodePort("a", "TCP", "10.96.0.1")), []);
  assert.deepEqual(claims.set("b", withNodePort("b", "UDP", "10.96.0.2")), []);
  assert.deepEqual(claims.set("c", withNodePort("c", "TCP", "fd00::3")), []);
  assert.deepEqual(claims.set("d", withNodePort("d", "TCP", "10.96.0.4")), [
    "node port 30080/TCP of default/d:http is held by default/a:http",
  ]);
});

Deno.test("two ports of one service that claim the same frontend conflict, and the first one gets it", () => {
  const both = plans("web", { ports: [webPort, { ...webPort, name: "other" }] });
  const claims = new Claims();
  const conflict = ["10.96.0.10:80/TCP of default/web:other is held by default/web:http"];
  assert.deepEqual(claims.set("web", both), conflict);
  assert.deepEqual(claims.set("web", both.slice(1)), []);
  assert.deepEqual(claims.of("web"), ["IPv4 10.96.0.10:80/TCP"]);
  assert.deepEqual(claims.set("web", both), conflict);
});

const shared = [address("10.96.0.50")];

Deno.test("a more trusted claim takes an address from a less trusted holder at once", () => {
  const byTrust = [
    plans("external", { clusterIPs: [address("10.96.0.1")], externalIPs: shared }),
    plans("balanced", { clusterIPs: [address("10.96.0.2")], loadBalancerIPs: shared }),
    plans("cluster", { clusterIPs: shared }),
  ] as const;
  const names = ["external", "balanced", "cluster"] as const;
  const claims = new Claims();
  for (const [index, name] of names.entries()) {
    claims.set(name, byTrust[index] ?? []);
    const holders = names.filter((one) => claims.of(one).includes("IPv4 10.96.0.50:80/TCP"));
    assert.deepEqual(holders, [name]);
  }
  // They do not get it back by being planned again, in whatever order.
  for (const name of ["balanced", "external", "cluster", "external"] as const) {
    claims.set(name, byTrust[names.indexOf(name)] ?? []);
    assert.ok(claims.of("cluster").includes("IPv4 10.96.0.50:80/TCP"));
  }
  assert.equal(claims.claims.refusals, 2);
  claims.set("cluster", []);
  assert.ok(claims.of("balanced").includes("IPv4 10.96.0.50:80/TCP"), "the next one by trust has it");
  assert.ok(!claims.of("external").includes("IPv4 10.96.0.50:80/TCP"));
  claims.set("balanced", []);
  assert.ok(claims.of("external").includes("IPv4 10.96.0.50:80/TCP"));
});

Deno.test("the ClusterIP of a service is refused to other services on all ports, also where it has no port", () => {
  const tls = { ...webPort, name: "https", port: 443 };
  const other = { clusterIPs: [address("10.96.0.2")], ports: [tls] };
  for (const way of [{ externalIPs: shared }, { loadBalancerIPs: shared }]) {
    const claims = new Claims();
    claims.set("other", plans("other", { ...other, ...way }));
    assert.deepEqual(claims.of("other"), ["IPv4 10.96.0.2:443/TCP", "IPv4 10.96.0.50:443/TCP"]);
    assert.deepEqual(claims.set("cluster", plans("cluster", { clusterIPs: shared })), [
      "10.96.0.50:443/TCP of default/other:https is refused because 10.96.0.50 is the ClusterIP of default/cluster",
    ]);
    assert.deepEqual(claims.of("other"), ["IPv4 10.96.0.2:443/TCP"]);
    claims.set("cluster", []);
    assert.deepEqual(claims.of("other"), ["IPv4 10.96.0.2:443/TCP", "IPv4 10.96.0.50:443/TCP"]);
  }
  const claims = new Claims();
  claims.set("balanced", plans("balanced", { clusterIPs: [address("10.96.0.3")], loadBalancerIPs: shared }));
  assert.deepEqual(claims.set("other", plans("other", { ...other, externalIPs: shared })), []);
});

Deno.test("a ClusterIP that two services have is refused to a third one until both are gone", () => {
  const claims = new Claims();
  const dns = { ...webPort, name: "dns", port: 53 };
  claims.set("a", plans("a", { clusterIPs: shared }));
  assert.deepEqual(claims.set("b", plans("b", { clusterIPs: shared, ports: [dns] })), []);
  const external = plans("c", { externalIPs: shared, ports: [{ ...webPort, port: 443 }] });
  assert.equal(claims.set("c", external).length, 1);
  claims.set("a", []);
  assert.deepEqual(claims.of("c"), ["IPv4 10.96.0.10:443/TCP"]);
  claims.set("b", []);
  assert.deepEqual(claims.of("c"), ["IPv4 10.96.0.10:443/TCP", "IPv4 10.96.0.50:443/TCP"]);
});

Deno.test("a service may claim its own ClusterIP as external IP, and a service may lose while it takes", () => {
  const claims = new Claims();
  assert.deepEqual(claims.set("own", plans("own", { clusterIPs: shared, externalIPs: shared })), []);
  const [one, other] = [[address("10.96.0.1")], [address("10.96.0.2")]];
  claims.set("x", plans("x", { clusterIPs: [address("10.96.0.8")], externalIPs: other }));
  claims.set("y", plans("y", { clusterIPs: [address("10.96.0.9")], externalIPs: one }));
  claims.set("x", plans("x", { clusterIPs: one, externalIPs: other }));
  claims.set("y", plans("y", { clusterIPs: other, externalIPs: one }));
  assert.deepEqual(claims.of("x"), ["IPv4 10.96.0.1:80/TCP"]);
  assert.deepEqual(claims.of("y"), ["IPv4 10.96.0.2:80/TCP"]);
});

const names = ["web", "api", "db", "dns"];
const anyAddresses = fc.subarray(["10.96.0.1", "10.96.0.2", "198.51.100.1"].map(address), { maxLength: 2 });
const anyStep = fc.record({
  name: fc.constantFrom(...names),
  isGone: fc.nat(3).map((chance) => chance === 0),
  service: fc.record({
    clusterIPs: fc.constantFrom("10.96.0.1", "10.96.0.2", "10.96.0.3", "10.96.0.4").map((
      text,
    ) => [address(text)]),
    externalIPs: anyAddresses,
    loadBalancerIPs: anyAddresses,
    ports: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom("a", "b"),
        protocol: fc.constant("TCP" as const),
        port: fc.constantFrom(80, 443),
        nodePort: fc.constantFrom(0, 30080),
      }),
      { selector: ({ name }) => name, minLength: 1, maxLength: 2 },
    ),
  }),
});
const trust = { ClusterIP: 2, LoadBalancerIP: 1, ExternalIP: 0, NodePort: 0 };

Deno.test("a frontend never has two holders, and whoever does not get one is less trusted or came later", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 20 }), (steps) => {
      const claims = new Claims();
      for (const { service, name, isGone } of steps) {
        claims.set(name, isGone ? [] : plans(name, service));
        const holders = new Map<string, { name: string; trust: number }>();
        const owners = new Map<string, Set<string>>();
        for (const [name, wanted] of claims.desired) {
          for (const frontend of wanted.flatMap(({ frontends }) => frontends)) {
            if (frontend.kind !== "ClusterIP") continue;
            owners.set(frontend.address, (owners.get(frontend.address) ?? new Set()).add(name));
          }
        }
        const isOfOthers = (name: string, where: string) =>
          [...owners.get(where) ?? []].some((owner) => owner !== name);
        for (const [name, planned] of claims.planned) {
          for (const { frontends, protocol } of planned) {
            for (const frontend of frontends) {
              const what = describeFrontend(frontend, protocol);
              assert.ok(!holders.has(what), `two holders of ${what}`);
              holders.set(what, { name, trust: trust[frontend.kind] });
              if (frontend.kind === "NodePort" || frontend.kind === "ClusterIP") continue;
              assert.ok(!isOfOthers(name, frontend.address), `${what} is the ClusterIP of another service`);
            }
          }
        }
        let refusals = 0;
        for (const [name, wanted] of claims.desired) {
          const got = new Set(
            claims.planned.get(name)?.flatMap(({ key, frontends, protocol }) =>
              frontends.map((frontend) => `${key} ${describeFrontend(frontend, protocol)}`)
            ),
          );
          for (const { key, frontends, protocol } of wanted) {
            for (const frontend of frontends) {
              const what = describeFrontend(frontend, protocol);
              if (got.has(`${key} ${what}`)) continue;
              refusals++;
              const holder = holders.get(what);
              const mayHold = frontend.kind === "NodePort" || frontend.kind === "ClusterIP" ||
                !isOfOthers(name, frontend.address);
              if (!mayHold) continue;
              assert.ok(holder !== undefined, `${what}, which ${name} claims, is unused`);
              assert.ok(
                holder.name === name || holder.trust >= trust[frontend.kind],
                `${what} has a less trusted holder`,
              );
            }
          }
        }
        assert.ok(claims.claims.refusals <= refusals);
      }
    }),
    { numRuns: 2000 },
  );
});
