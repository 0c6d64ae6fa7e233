import assert from "node:assert/strict";
import { rawNode, type RawObject, rawSlice } from "../../core/kube/raw_objects.ts";
import { service } from "./case.ts";
import { ControlPlane } from "./control_plane.ts";
import { Prometheus, type Series } from "./prometheus.ts";
import { GOROUTINES, type Panel, PROXY_PANELS } from "./proxy_panels.ts";
import { ProxyProcess, until } from "./proxy_process.ts";

// Runs in a network namespace made by tests/integration/prometheus_test.ts.

const WITHIN_MS = 60_000;

Deno.test({
  name: "a real Prometheus that scrapes dist/proxy",
  sanitizeOps: false,
  async fn(t) {
    await using plane = await ControlPlane.start();
    await plane.create(rawNode("here"), service("web", "10.96.1.1"), sliceNow(0));
    await using classic = new Prometheus({ job: "kube-proxy" });
    await using native = new Prometheus({
      job: "kube-proxy",
      port: 9091,
      flags: ["--enable-feature=native-histograms"],
    });
    await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
    await proxy.inForce();
    await using _load = changing(plane);
    await classic.scrapes();
    await native.scrapes();

    await t.step("every panel of the Proxy dashboard of kubernetes-mixin has data", async () => {
      for (const panel of PROXY_PANELS) {
        await until(() => hasData(classic, panel), `data in panel ${panel.title}`, WITHIN_MS);
      }
      assert.equal(await hasData(classic, GOROUTINES), false);
    });

    await t.step("native histograms count the same as classic ones", async () => {
      const name = "kubeproxy_sync_proxy_rules_duration_seconds";
      const [latency] = await resultOf(
        native,
        `histogram_quantile(0.99, rate(${name}{ip_family="IPv4"}[30s]))`,
      );
      assert.ok(Number(latency?.value[1]) > 0);
      const counts = async () => {
        const [nativeCount] = await resultOf(native, `histogram_count(${name}{ip_family="IPv4"})`);
        const [classicCount] = await resultOf(classic, `${name}_count{ip_family="IPv4"}`);
        return [Number(nativeCount?.value[1]), Number(classicCount?.value[1])];
      };
      // The two scrapes are not at the same moment.
      await until(
        async () => {
          const [one = 0, other = Infinity] = await counts();
          return one > 0 && Math.abs(one - other) <= 10;
        },
        "equal counts",
        WITHIN_MS,
      );
    });

    await t.step("the start of the proxy is an Event on the Node", async () => {
      const list: { items: readonly Record<string, unknown>[] } = JSON.parse(
        await plane.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events"),
      );
      const starts = list.items.filter(({ reason }) => reason === "Starting");
      assert.deepEqual(starts.map(({ type, action, regarding }) => ({ type, action, regarding })), [{
        type: "Normal",
        action: "StartKubeProxy",
        regarding: { apiVersion: "v1", kind: "Node", name: "here" },
      }]);
    });
  },
});

/** A panel has data if one of its queries has a value that Grafana draws. */
async function hasData(prometheus: Prometheus, { queries }: Panel): Promise<boolean> {
  const results = await Promise.all(queries.map((query) => prometheus.query(query)));
  return results.some((result) => result.some(({ value }) => Number.isFinite(Number(value[1]))));
}

/** Waits until a query has a result. */
async function resultOf(prometheus: Prometheus, promql: string): Promise<readonly Series[]> {
  let result: readonly Series[] = [];
  await until(
    async () => {
      result = await prometheus.query(promql);
      return result.length > 0 && result.every(({ value }) => value[1] !== "NaN");
    },
    promql,
    WITHIN_MS,
  );
  return result;
}

/** Changes the endpoints of web, and makes conflicts that lead to Events, until it is disposed of. */
function changing(plane: ControlPlane): AsyncDisposable {
  let isDone = false;
  const run = async () => {
    for (let round = 1; !isDone; round++) {
      await plane.replace(sliceNow(round % 2));
      if (round <= 20) await plane.create(sharing(round));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      isDone = true;
      await running;
    },
  };
}

/** The slice of web, changed now, as the controller for EndpointSlices marks it. */
function sliceNow(host: number): RawObject {
  const slice = rawSlice("web-1", "web", [`10.244.0.${host + 1}`]);
  const trigger = { "endpoints.kubernetes.io/last-change-trigger-time": new Date().toISOString() };
  return { ...slice, metadata: { ...slice.metadata, annotations: trigger } };
}

/** Services that want the same external IP. */
function sharing(index: number): RawObject {
  const clusterIP = `10.96.2.${index}`;
  return {
    ...service(`sharing-${index}`, clusterIP),
    spec: { clusterIP, externalIPs: ["10.96.7.9"], ports: [{ port: 80, targetPort: 8080 }] },
  };
}
