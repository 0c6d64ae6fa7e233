import assert from "node:assert/strict";
import { Shared } from "../../../../core/observe/status/shared.ts";
import { service, slice } from "../../sync/objects.ts";
import { inForce } from "./known_services.ts";
import { runningApi } from "./running_api.ts";

function api() {
  const services = inForce([
    service("web", "10.96.0.1"),
    slice("web", "10.1.0.1"),
    service("bad", "10.96.0.2"),
    slice("bad", "10.1.0.1", "10.1.0.2"),
  ], ["bad"]);
  const { activity, health, answer } = runningApi(services, {
    loopback: (limit) => ({
      range: `the first ${limit}`,
      served: { total: 0, first: [] },
      notServed: { total: 0, first: [] },
    }),
  });
  const ask = async (target: string, method = "GET") => {
    const response = await answer(target, method);
    assert.ok(response, `no route for ${target}`);
    return { status: response.status, headers: response.headers, body: await response.json() };
  };
  return { activity, health, ask };
}

Deno.test("the status has objects, syncs, rejections with their next retry, repairs and the source", async () => {
  const { activity, health, ask } = api();
  activity.synced({
    full: true,
    seconds: 0.01,
    changes: 2,
    reason: "drift",
    repaired: "drift",
    triggerTimes: [],
  });
  health.setConnected(false);
  const { status, headers, body } = await ask("/api/v1/status");
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("access-control-allow-origin"), null);
  assert.deepEqual(body.objects, { services: 2, servicePorts: 1, endpoints: 3 });
  assert.deepEqual([body.source.kind, body.source.connected], ["API server", false]);
  assert.deepEqual([body.lastSync.reason, body.repairs.count, body.history.buckets.length], ["drift", 1, 1]);
  const { total, first: [rejection] } = body.errors.rejections;
  assert.deepEqual([total, rejection.servicePort, rejection.reason], [
    1,
    "default/bad:http",
    "EINVAL from nf_tables",
  ]);
  const delay = Date.parse(rejection.nextRetry) - Date.parse(rejection.since);
  assert.ok(Math.abs(delay - 1000) < 5, `${delay} ms`);
});

Deno.test("services, one service and events are answered", async () => {
  const { activity, ask } = api();
  activity.failed("EPERM");
  const { body } = await ask("/api/v1/services?search=web&limit=1");
  assert.deepEqual([body.total, body.services.map(({ name }: { name: string }) => name)], [1, ["web"]]);
  assert.equal(
    (await ask("/api/v1/service?name=default/web")).body.ports[0].frontends[0].text,
    "10.96.0.1:80/TCP",
  );
  assert.equal((await ask("/api/v1/service?name=default%2Fweb")).status, 200);
  assert.deepEqual((await ask("/api/v1/events")).body.events.map(({ text }: { text: string }) => text), [
    "EPERM",
  ]);
});

Deno.test("a wrong request gets a message that names the parameter, and nothing can be written", async () => {
  const { ask } = api();
  const problems = [
    ["/api/v1/services?sort=constructor", 400, /^sort: must be name, /],
    ["/api/v1/services?limit=501", 400, /^limit: must be a whole number from 0 to 500/],
    ["/api/v1/services?limit=1e2", 400, /^limit/],
    ["/api/v1/services?offset=-1", 400, /^offset/],
    [`/api/v1/services?search=${"x".repeat(401)}`, 400, /^search: must be at most 400/],
    ["/api/v1/service", 404, /^name: there is no Service ""/],
    ["/api/v1/service?name=__proto__", 404, /^name/],
    ["/api/v1/service?name=%00%ff<script>", 404, /^name/],
  ] as const;
  for (const [target, status, message] of problems) {
    const answer = await ask(target);
    assert.deepEqual([target, answer.status], [target, status]);
    assert.match(answer.body.error, message);
  }
  const posted = await ask("/api/v1/status", "POST");
  assert.deepEqual([posted.status, posted.headers.get("allow")], [405, "GET, HEAD"]);
  assert.equal((await ask("/api/v1/status", "HEAD")).status, 200);
});

Deno.test("many readers share one answer, and none is kept for long", async () => {
  let asked = 0;
  const shared = new Shared(() => Promise.resolve(++asked), 20);
  assert.deepEqual(await Promise.all([shared.get(), shared.get(), shared.get()]), [1, 1, 1]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(await shared.get(), 2);
  await new Promise((resolve) => setTimeout(resolve, 60));
});

Deno.test("explain answers from what is in force, and says what is wrong with a question", async () => {
  const { ask } = api();
  const { status, body } = await ask("/api/v1/explain?question=default/web&from=10.1.0.9");
  assert.equal(status, 200);
  assert.deepEqual(body.servicePorts.map(({ name }: { name: string }) => name), ["default/web:http"]);
  assert.deepEqual(body.walks.map(({ verdict }: { verdict: string }) => verdict), ["balanced"]);
  for (const client of ["node", "default/web"]) {
    const { body } = await ask(`/api/v1/explain?question=default/web&from=${client}`);
    assert.equal(body.walks.length, 1, client);
  }
  const causes = async (question: string) =>
    (await ask(`/api/v1/explain?question=${encodeURIComponent(question)}`)).body.findings
      .map(({ cause }: { cause: string }) => cause);
  assert(!(await causes("default/web")).includes("rejected-by-kernel"), "another service is rejected");
  const bad = await causes("default/bad");
  assert(["not-in-force", "rejected-by-kernel"].every((cause) => bad.includes(cause)), bad.join());
  assert((await causes("default/nobody")).includes("unknown-service"));
  for (
    const [query, problem] of Object.entries({
      "question=%3Cscript%3E": /is neither a service nor an address/,
      "question=default/web&from=x":
        /from: must be node, an IP address, pod\/NAMESPACE\/NAME or NAMESPACE\/SERVICE/,
      "question=default/web&from=pod/shop/cart": /from: .*give the address of the pod, or NAMESPACE\/SERVICE/,
      "question=default/web&from=default/nobody": /from: there is no Service default\/nobody/,
      [`question=${"a".repeat(500)}`]: /at most 400 characters/,
      "": /is neither a service nor an address/,
    })
  ) {
    const { status, body } = await ask(`/api/v1/explain?${query}`);
    assert.equal(status, 400, query);
    assert.match(body.error, problem);
  }
});

Deno.test("the status has the first loopback addresses, and all on request", async () => {
  const { ask } = api();
  assert.equal((await ask("/api/v1/status")).body.loopback.range, "the first 20");
  assert.equal((await ask("/api/v1/status?loopback=all")).body.loopback.range, "the first Infinity");
  assert.deepEqual((await ask("/api/v1/status?loopback=5")).body, {
    error: "loopback: must be all, or left out",
  });
});
