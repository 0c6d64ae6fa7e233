import assert from "node:assert/strict";
import { parse } from "yaml";
import { rawNode, type RawObject } from "../../core/kube/raw_objects.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { service } from "./case.ts";
import { ControlPlane } from "./control_plane.ts";
import { Pods, sliceTo } from "./pods.ts";
import { dashboardQueries, monitoring, Prometheus } from "./prometheus.ts";
import { ProxyProcess } from "./proxy_process.ts";

// Runs in a network namespace made by tests/integration/monitoring/dashboard_test.ts.

const alerts: { readonly groups: readonly { readonly rules: readonly { alert: string; expr: string }[] }[] } =
  parse(
    Deno.readTextFileSync(`${monitoring}alerts.yaml`),
  );

/** Addresses of a service with an endpoint, and of one without. */
const WEB = "10.96.1.1";
const OTHER = "10.96.1.2";

Deno.test({
  name: "a real Prometheus that scrapes dist/proxy under load",
  // A connection attempt while the rules are missing cannot be cancelled.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using plane = await ControlPlane.start();
    using pods = await Pods.start();
    await plane.create(rawNode("here"), service("web", WEB), triggered("pod-a"), other(80));
    await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
    await proxy.inForce();
    await using prometheus = new Prometheus({ rules: `${monitoring}alerts.yaml` });
    await using _load = new Load(plane, pods);
    await prometheus.scrapes();
    await t.step("has data for every query of the dashboard", async () => {
      // This mode counts no bytes: tests/integration/monitoring/throughput_test.ts.
      const queries = dashboardQueries().filter(({ expr }) =>
        !expr.includes("kubeproxy_service_bytes_total")
      );
      assert(queries.length > 20);
      await prometheus.hasData(queries);
    });
    await t.step(
      "has the series of every alert, and no alert but that about foreign changes",
      () => hasSeriesOfAlerts(prometheus),
    );
  },
});

async function hasSeriesOfAlerts(prometheus: Prometheus): Promise<void> {
  for (const { alert, expr } of alerts.groups.flatMap(({ rules }) => rules)) {
    const selectors = expr.match(/\w+\{[^}]*\}/g) ?? [];
    assert(selectors.length > 0, alert);
    for (const selector of selectors) {
      // A healthy proxy has no such answers.
      const healthy = selector.replace('code=~"401|403"', 'code!=""');
      assert((await prometheus.query(healthy)).length > 0, `${alert}: no series ${healthy}`);
    }
  }
  for (const { name, health, lastError } of await prometheus.rules()) {
    assert.equal(health, "ok", `${name}: ${lastError}`);
  }
  assert.deepEqual((await prometheus.alerts()).filter((name) => name !== "ProxyForeignChanges"), []);
}

/** Changes of endpoints, connections, and a program that deletes rules, until disposal. */
class Load implements AsyncDisposable {
  #isRunning = true;
  readonly #done: Promise<unknown>;

  constructor(private readonly plane: ControlPlane, private readonly pods: Pods) {
    this.#done = Promise.all([
      this.#repeat(100, () => this.#connect(WEB)),
      this.#repeat(500, () => this.#connect(OTHER)),
      this.#repeat(1000, () => this.#connect("10.96.9.9")),
      this.#repeat(200, async (round) => {
        await this.plane.replace(triggered(round % 2 === 0 ? "pod-a" : "pod-b"));
        await this.plane.replace(other(80 + round % 2));
      }),
      this.#repeat(3000, () => run("nft", "flush", "table", "ip", "kube-proxy")),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isRunning = false;
    await this.#done;
  }

  /** Tries a connection. It fails while the rules are missing, and if nothing answers. */
  async #connect(address: string): Promise<void> {
    await this.pods.at(address).catch(() => {});
  }

  async #repeat(pauseMs: number, work: (round: number) => Promise<unknown>): Promise<void> {
    for (let round = 0; this.#isRunning; round++) {
      await work(round);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** The slice of service web with the time of its change, as the EndpointSlice controller writes it. */
function triggered(pod: "pod-a" | "pod-b"): RawObject {
  const slice = sliceTo(pod, "web");
  const annotations = { "endpoints.kubernetes.io/last-change-trigger-time": new Date().toISOString() };
  return { ...slice, metadata: { ...slice.metadata, annotations } };
}

/** A service without endpoints. */
function other(port: number): RawObject {
  return service("other", OTHER, port);
}
