import assert from "node:assert/strict";
import { defaultDocument } from "../../../../core/config/document/document.ts";
import { type ListenAddress, withPort } from "../../../../core/config/document/listen_address.ts";
import { ProxyHealth } from "../../../../core/observe/health/health.ts";
import type { Log } from "../../../../core/observe/log.ts";
import { silentLog } from "../log/silent_log.ts";
import { Exposition } from "../../../../core/observe/metrics/exposition/exposition.ts";
import { CONTENT_TYPES } from "../../../../core/observe/metrics/exposition/format.ts";
import { Metrics } from "../../../../core/observe/metrics/metrics.ts";
import type { PromMetric } from "../../../../core/observe/metrics/registry/prom_client.ts";
import { sampledGauge } from "../../../../core/observe/metrics/registry/registry.ts";
import { textOf, valuesIn } from "../metrics/metrics_text.ts";
import { healthRoutes, metricsRoutes } from "../../../../core/observe/http/routes.ts";
import { type Route, serve } from "../../../../core/observe/http/server.ts";
import { UserError } from "../../../../core/user_error.ts";

/** Serves the routes on a free port while `use` runs. */
async function serving(
  routes: Readonly<Record<string, Route>>,
  use: (url: string) => Promise<void>,
  hostname = "127.0.0.1",
  log = silentLog,
): Promise<void> {
  const stop = new AbortController();
  let done = Promise.resolve();
  const address = await new Promise<ListenAddress>((onListen) => {
    done = serve(
      { name: "test", address: { hostname, port: 0 }, routes, paths: "exact", hardFail: true, log, onListen },
      stop.signal,
    );
  });
  try {
    await use(`http://${withPort(address.hostname, address.port)}`);
  } finally {
    stop.abort();
    await done;
  }
}

async function answer(url: string, method = "GET") {
  const response = await fetch(url, { method });
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    response,
    body: await response.text(),
  };
}

Deno.test("healthz and livez answer 200 or 503 with kube-proxy's headers, and are counted", async () => {
  const metrics = new Metrics();
  const health = new ProxyHealth({
    families: ["IPv4"],
    timeoutMs: 1000,
    eligible: false,
    rejectedSince: () => undefined,
  });
  health.updated("IPv4");
  await serving(healthRoutes(health, metrics.health), async (url) => {
    const healthz = await answer(`${url}/healthz`);
    assert.equal(healthz.status, 503);
    assert.equal(healthz.type, "application/json");
    assert.equal(healthz.response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(JSON.parse(healthz.body).nodeEligible, false);
    assert.equal((await answer(`${url}/livez?verbose`)).status, 200);
    health.setEligible(true);
    assert.equal((await answer(`${url}/healthz`, "POST")).status, 200);
    assert.equal((await answer(`${url}/metrics`)).status, 404);
  });
  const text = await textOf(metrics.registry);
  assert.match(
    text,
    /proxy_healthz_total\{code="503"\} 1\nkubeproxy_proxy_healthz_total\{code="200"\} 1\n/,
  );
  assert.match(text, /proxy_livez_total\{code="200"\} 1\n/);
});

function routesOf(metrics: readonly PromMetric[], document = defaultDocument()) {
  const { registry, serviceLevel } = new Metrics();
  const source = { name: "test", read: () => Promise.resolve(metrics) };
  return metricsRoutes({
    exposition: new Exposition({ registry, sources: [source], log: silentLog }),
    serviceLevel,
    serviceLevelExposition: new Exposition({ registry: serviceLevel.registry, sources: [], log: silentLog }),
    document,
  });
}

Deno.test("the metrics server serves metrics, the mode, the configuration and ok", async () => {
  const document = { ...defaultDocument(), mode: "nftables" };
  const own = sampledGauge({ name: "own_metric", help: "help" }, [], () => [{ labels: [], value: 1 }]);
  await serving(routesOf([own], document), async (url) => {
    const metrics = await answer(`${url}/metrics`);
    assert.equal(metrics.type, "text/plain; version=0.0.4; charset=utf-8");
    const started = Number(metrics.response.headers.get("process-start-time-unix"));
    assert.ok(started <= Date.now() / 1000 + 1 && started > Date.now() / 1000 - 3600);
    assert.match(metrics.body, /^process_resident_memory_bytes \d+$/m);
    assert.match(metrics.body, /^own_metric 1$/m);
    const mode = await answer(`${url}/proxyMode`);
    assert.deepEqual([mode.body, mode.type], ["nftables", "text/plain; charset=utf-8"]);
    assert.equal((await answer(`${url}/healthz`)).body, "ok");
    assert.deepEqual(JSON.parse((await answer(`${url}/configz`)).body), {
      "kubeproxy.config.k8s.io": document,
    });
    assert.equal((await answer(`${url}/constructor`)).status, 404);
  });
});

Deno.test("a scraper gets the format that it asks for", async () => {
  await serving(routesOf([]), async (url) => {
    const typeFor = async (accept: string) => {
      const response = await fetch(`${url}/metrics`, { headers: { accept } });
      await response.body?.cancel();
      return response.headers.get("content-type");
    };
    const { text, openmetrics, protobuf } = CONTENT_TYPES;
    for (const type of [text, openmetrics, protobuf]) assert.equal(await typeFor(type), type);
    assert.equal(await typeFor("text/html"), text);
  });
});

// kube-proxy 1.37 answers like this. Its health server has no /metrics/slis.
Deno.test("the checks of the metrics server are service level indicators, until DELETE forgets them", async () => {
  await serving(routesOf([]), async (url) => {
    const values = async () => valuesIn((await answer(`${url}/metrics/slis`)).body).slice(0, -1);
    assert.deepEqual(await values(), []);
    await answer(`${url}/healthz`);
    await answer(`${url}/healthz`);
    assert.equal((await answer(`${url}/healthz/ping`)).body, "ok");
    assert.deepEqual(await values(), [
      'kubernetes_healthcheck{name="ping",type="healthz"} 1',
      'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 2',
    ]);
    assert.equal((await answer(`${url}/metrics/slis`, "DELETE")).body, "metrics reset\n");
    assert.deepEqual(await values(), []);
  });
});

Deno.test("a route gets the request", async () => {
  const echo: Route = ({ method, path, query, accept }) => Response.json([method, path, query, accept]);
  await serving({ "/a b": echo }, async (url) => {
    const response = await fetch(`${url}/a%20b?c=d`, { method: "PUT", headers: { accept: "text/html" } });
    assert.deepEqual(await response.json(), ["PUT", "/a b", "?c=d", "text/html"]);
  });
});

Deno.test("IPv6 addresses are supported, and :: serves IPv4 as well", async () => {
  const routes = { "/": () => new Response("here") };
  await serving(routes, async (url) => assert.equal((await answer(`${url}/`)).body, "here"), "::1");
  await serving(routes, async (url) => {
    assert.equal((await answer(`http://127.0.0.1:${new URL(url).port}/`)).body, "here");
  }, "::");
});

Deno.test("a route that fails is answered with 500 and logged", async () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (message) => errors.push(message) };
  const broken = {
    "/": () => {
      throw new Error("broken");
    },
  };
  await serving(broken, async (url) => assert.equal((await answer(`${url}/`)).status, 500), "127.0.0.1", log);
  assert.deepEqual(errors, ["A request to the test server failed"]);
});

Deno.test("an address in use is reported once and tried again until it is free", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const stop = new AbortController();
  const errors: string[] = [];
  const log: Log = {
    ...silentLog,
    error: (message) => {
      errors.push(message);
      setTimeout(() => taken.close(), 50);
    },
  };
  await new Promise<void>((resolve, reject) => {
    serve({
      name: "metrics",
      address: { hostname: "127.0.0.1", port },
      routes: {},
      paths: "exact",
      hardFail: false,
      log,
      retryMs: 5,
      onListen: () => stop.abort(),
    }, stop.signal).then(resolve, reject);
  });
  const message = `metrics server cannot listen on 127.0.0.1:${port}: another process listens on it`;
  assert.deepEqual(errors, [message]);
});

Deno.test("an address in use is an error with hardFail", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const options = {
    name: "healthz",
    address: taken.addr,
    routes: {},
    paths: "exact",
    hardFail: true,
    log: silentLog,
  } as const;
  await assert.rejects(
    serve(options, new AbortController().signal),
    (error: unknown) => error instanceof UserError && /healthz server cannot listen/.test(error.message),
  );
});

Deno.test("waiting for an address ends at once when the signal aborts", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const log: Log = { ...silentLog, error: () => stop.abort() };
  await serve(
    { name: "x", address: taken.addr, routes: {}, paths: "exact", hardFail: false, log, retryMs: 60_000 },
    stop.signal,
  );
});
