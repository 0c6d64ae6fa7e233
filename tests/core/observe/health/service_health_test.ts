import assert from "node:assert/strict";
import type { HealthCheck } from "../../../../core/plan/health_check.ts";
import { healthAnswer, ServiceHealth } from "../../../../core/observe/health/service_health.ts";

function check(name: string, port: number, endpoints = 1): HealthCheck {
  return { namespace: "default", name, port, localEndpoints: new Map([["IPv4", endpoints]]) };
}

function changes(...checks: readonly (HealthCheck | string)[]) {
  return new Map(
    checks.map((check) =>
      typeof check === "string"
        ? [`default/${check}`, undefined] as const
        : [`${check.namespace}/${check.name}`, check] as const
    ),
  );
}

Deno.test("the answer is kube-proxy's, byte for byte", () => {
  const { headers, body } = healthAnswer(check("web", 32100, 2), "IPv4", true);
  assert.equal(
    body,
    '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n' +
      '\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
  );
  assert.deepEqual(headers, {
    "content-type": "application/json",
    "x-content-type-options": "nosniff",
    "x-load-balancing-endpoint-weight": "2",
  });
});

Deno.test("200 requires an endpoint of the family and a healthy proxy", () => {
  for (
    const [endpoints, family, isHealthy, status, count] of [
      [2, "IPv4", true, 200, 2],
      [2, "IPv4", false, 503, 2],
      [0, "IPv4", true, 503, 0],
      [2, "IPv6", true, 503, 0],
    ] as const
  ) {
    const answer = healthAnswer(check("web", 32100, endpoints), family, isHealthy);
    assert.equal(answer.status, status);
    assert.equal(JSON.parse(answer.body).localEndpoints, count);
    assert.equal(JSON.parse(answer.body).serviceProxyHealthy, isHealthy);
  }
});

Deno.test("an update returns only the ports of changed Services", () => {
  const health = new ServiceHealth();
  health.update(changes(check("a", 1), check("b", 2)));
  assert.deepEqual([...health.update(changes(check("b", 2, 3))).ports], [2]);
  assert.deepEqual([...health.update(changes(check("b", 5), "unknown")).ports].sort(), [2, 5]);
  assert.equal(health.servedOn(2), undefined);
  assert.equal(health.servedOn(5)?.localEndpoints.get("IPv4"), 1);
  assert.deepEqual([...health.update(changes("a", "b")).ports], [1, 5]);
  assert.deepEqual([...health.ports], []);
});

Deno.test("of two Services with one port the first holds it, and the other one after it is gone", () => {
  const health = new ServiceHealth();
  const { conflicts } = health.update(changes(check("first", 1), check("second", 1)));
  assert.deepEqual(conflicts, [{ port: 1, service: "default/second", servedFor: "default/first" }]);
  assert.deepEqual(health.update(changes(check("second", 1, 7))).conflicts, [], "said once");
  assert.equal(health.servedOn(1)?.name, "first");
  assert.deepEqual([...health.update(changes("first")).ports], [1]);
  assert.equal(health.servedOn(1)?.name, "second");
  assert.equal(health.servedOn(1)?.localEndpoints.get("IPv4"), 7);
});

Deno.test("a port that moves from one Service to another in one sync is no conflict", () => {
  const health = new ServiceHealth();
  health.update(changes(check("old", 1)));
  assert.deepEqual(health.update(changes(check("new", 1), "old")).conflicts, []);
  assert.equal(health.servedOn(1)?.name, "new");
  assert.deepEqual(health.update(changes(check("old", 1), check("new", 2))).conflicts, []);
  assert.deepEqual([health.servedOn(1)?.name, health.servedOn(2)?.name], ["old", "new"]);
});
