import assert from "node:assert/strict";
import { parse } from "yaml";
import { rawNode, type RawObject } from "../../core/kube/raw_objects.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { slowness } from "../../lab/pace.ts";
import { service } from "./case.ts";
import { ControlPlane } from "./control_plane.ts";
import { Pods, sliceTo } from "./pods.ts";
import { Prometheus } from "./prometheus.ts";
import { ProxyProcess, until } from "./proxy_process.ts";

// Runs in a network namespace made by tests/integration/monitoring/dashboard_test.ts.

const directory = new URL("../../../deploy/monitoring/", import.meta.url).pathname;
const dashboard: { readonly panels: readonly PanelModel[] } = JSON.parse(
  Deno.readTextFileSync(`${directory}dashboard.json`),
);
const alerts: { readonly groups: readonly { readonly rules: readonly { alert: string; expr: string }[] }[] } =
  parse(
    Deno.readTextFileSync(`${directory}alerts.yaml`),
  );

interface PanelModel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

Deno.test({
  name: "a real Prometheus that scrapes dist/proxy under load",
  // A connection attempt while the rules are missing cannot be cancelled.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using plane = await ControlPlane.start();
    using pods = await Pods.start();
    await plane.create(rawNode("here"), service("web", "10.96.1.1"), triggered("pod-a"), other(80));
    await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
    await proxy.inForce();
    await using prometheus = new Prometheus({ rules: `${directory}alerts.yaml` });
    await using _load = new Load(plane, pods);
    await prometheus.scrapes();
    await t.step("has data for every query of the dashboard", () => hasDataForDashboard(prometheus));
    await t.step(
      "has the series of every alert, and no alert but that about foreign changes",
      () => hasSeriesOfAlerts(prometheus),
    );
  },
});

async function hasDataForDashboard(prometheus: Prometheus): Promise<void> {
  let without = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr }))
  );
  assert(without.length > 20);
  const answered = async () => {
    const results = await Promise.all(without.map(({ expr }) => prometheus.query(interpolated(expr))));
    without = without.filter((_, index) =>
      !results[index]?.some(({ value: [, value] }) => Number.isFinite(Number(value)))
    );
    return without.length === 0;
  };
  await until(answered, "data of every query", 40_000 * slowness, () => JSON.stringify(without, null, 2));
}

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

/** The query with values for the variables of the dashboard. Ten scrapes are in an interval. */
function interpolated(expr: string): string {
  return expr.replaceAll("$__rate_interval", "10s").replaceAll("$job", "proxy").replaceAll("$instance", ".*");
}

/** Changes of endpoints, connections, and a program that deletes rules, until disposal. */
class Load implements AsyncDisposable {
  #isRunning = true;
  readonly #done: Promise<unknown>;

  constructor(private readonly plane: ControlPlane, private readonly pods: Pods) {
    this.#done = Promise.all([
      // Connections fail while the rules are missing.
      this.#repeat(100, () => this.pods.at("10.96.1.1").catch(() => {})),
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
  return service("other", "10.96.1.2", port);
}
