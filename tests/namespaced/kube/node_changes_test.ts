import assert from "node:assert/strict";
import type { HealthBody } from "../../../core/observe/health/health.ts";
import { type RawObject, rawSlice } from "../../core/kube/raw_objects.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { ControlPlane } from "./control_plane.ts";
import { Pods } from "./pods.ts";
import { ProxyProcess, until } from "./proxy_process.ts";

// Runs in a network namespace made by tests/integration/node_changes_test.ts.

const first = "192.0.2.1";
const second = "192.0.2.2";
const web = "10.96.1.1";
const nodePort = 30080;
const healthCheckNodePort = 32100;

/** kube-proxy exits when the Node or its addresses change (docs/behaviour.md §1.5). This proxy keeps running. */
Deno.test("the Node of dist/proxy changes", async (t) => {
  for (const address of [first, second]) await run("ip", "address", "add", `${address}/32`, "dev", "lo");
  await using plane = await ControlPlane.start();
  using pods = await Pods.start();
  await plane.create(service, slice);
  await plane.request("PUT", "/api/v1/namespaces/default/services/web/status", {
    ...service,
    status: { loadBalancer: { ingress: [{ ip: "203.0.113.1" }] } },
  });
  await using proxy = new ProxyProcess([
    `--kubeconfig=${plane.kubeconfig()}`,
    "--detect-local-mode=NodeCIDR",
    "--metrics-bind-address=127.0.0.1:10249",
  ]);

  await t.step("a node that is not known yet is not eligible, and the proxy is alive", async () => {
    await proxy.inForce();
    await healthIs(503, { nodeEligible: false, healthy: true });
    assert.equal((await fetch("http://127.0.0.1:10256/livez")).status, 200);
  });

  await t.step(
    "node ports answer nowhere while the Node has no address, and the log says why once",
    async () => {
      const answersNowhere = async () => {
        for (const address of [first, second]) {
          assert.equal(await pods.at(address, nodePort), "refused");
          assert.equal(await healthCheck(address), "closed");
        }
      };
      // Without a zone, hints do not apply.
      assert.match(await pods.at(web), /^pod-/);
      await answersNowhere();
      const bare = { ...node(), status: {} };
      await plane.create(bare);
      await healthIs(200, { nodeEligible: true });
      await proxy.logged(/no primary address.*status/);
      await answersNowhere();
      assert.equal(proxy.log.match(/Node ports answer on no primary address/g)?.length, 2);
      await plane.remove(bare);
      await healthIs(503, { nodeEligible: false });
    },
  );

  await t.step(
    "it is eligible once its Node exists, and node ports answer on the Node's address",
    async () => {
      await plane.create(node());
      await healthIs(200, { nodeEligible: true });
      await pods.until(first, "pod-a", 10_000, nodePort);
      await pods.until(second, "refused", 10_000, nodePort);
      await healthCheckIs(first, "200 1");
      await healthCheckIs(second, "closed");
    },
  );

  await t.step("another zone label leads to other endpoints", async () => {
    await pods.until(web, "pod-a");
    await replace(plane, node({ zone: "zone-2" }));
    await pods.until(web, "pod-b");
    await replace(plane, node());
    await pods.until(web, "pod-a");
  });

  await t.step("another InternalIP moves node ports and health-check node ports", async () => {
    await replace(plane, node({ address: second }));
    await pods.until(second, "pod-a", 10_000, nodePort);
    await pods.until(first, "refused", 10_000, nodePort);
    await healthCheckIs(second, "200 1");
    await healthCheckIs(first, "closed");
  });

  await t.step("an autoscaler's taint makes it ineligible for as long as it is there", async () => {
    for (const effect of ["NoSchedule", "PreferNoSchedule"]) {
      await replace(
        plane,
        node({ address: second, taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect }] }),
      );
      await healthIs(503, { nodeEligible: false, healthy: true });
      await replace(plane, node({ address: second, taints: [{ key: "other", effect }] }));
      await healthIs(200, { nodeEligible: true });
    }
    await healthCheckIs(second, "200 1");
  });

  await t.step("an API server that is away does not, and /healthz says since when", async () => {
    await plane.stop();
    const { source } = await healthIs(200, { nodeEligible: true, source: { connected: false } });
    assert.match(source.lostAt ?? "", /^20\d\d-\d\d-\d\dT[\d:.]+Z$/);
    await plane.start();
    await healthIs(200, { source: { connected: true } });
  });

  await t.step("a Node that is being deleted is ineligible, until it is made anew", async () => {
    const held = node({ address: second, finalizers: ["example.org/hold"] });
    await replace(plane, held);
    await plane.remove(held);
    await healthIs(503, { nodeEligible: false, healthy: true });
    await replace(plane, node({ address: second }));
    await plane.create(node({ address: second }));
    await healthIs(200, { nodeEligible: true });
  });

  await t.step(
    "a deleted Node is ineligible, and the rules of its last state stay",
    async () => {
      await plane.remove(node());
      await healthIs(503, { nodeEligible: false, healthy: true });
      assert.equal(await pods.at(web), "pod-a", "its zone");
      assert.equal(await pods.at(second, nodePort), "pod-a", "its address");
      assert.equal(await pods.at(first, nodePort), "refused", "and no other");
      await healthCheckIs(second, "200 1");
      await plane.create(node({ address: second }));
      await healthIs(200, { nodeEligible: true });
    },
  );

  await t.step(
    "pending changes and Local services without local endpoints are counted",
    async () => {
      const metrics = async () => await (await fetch("http://127.0.0.1:10249/metrics")).text();
      assert.match(await metrics(), /^kubeproxy_sync_proxy_rules_service_changes_pending 0$/m);
      assert.match(await metrics(), /^kubeproxy_sync_proxy_rules_endpoint_changes_pending 0$/m);
      assert.match(await metrics(), noLocalEndpoints(0));
      await plane.replace({
        ...slice,
        endpoints: slice.endpoints.map((endpoint) => ({ ...endpoint, nodeName: "there" })),
      });
      await until(async () => noLocalEndpoints(1).test(await metrics()), "counted", 10_000);
      await healthCheckIs(second, "503 0");
    },
  );

  assert.equal(proxy.log.match(/"Starting proxy"/g)?.length, 1);
});

function noLocalEndpoints(count: number): RegExp {
  return new RegExp(
    `^kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv4"} ${count}$`,
    "m",
  );
}

const service: RawObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    type: "LoadBalancer",
    clusterIP: web,
    externalTrafficPolicy: "Local",
    healthCheckNodePort,
    ports: [{ port: 80, nodePort }],
  },
};

/** One pod per zone; only pod-a is on this node. */
const slice = {
  ...rawSlice("web-1", "web", []),
  endpoints: [
    {
      addresses: ["10.244.0.1"],
      nodeName: "here",
      zone: "zone-1",
      hints: { forZones: [{ name: "zone-1" }] },
    },
    {
      addresses: ["10.244.0.2"],
      nodeName: "there",
      zone: "zone-2",
      hints: { forZones: [{ name: "zone-2" }] },
    },
  ],
};

interface NodeState {
  readonly zone?: string;
  readonly address?: string;
  readonly taints?: readonly { readonly key: string; readonly effect: string }[];
  readonly finalizers?: readonly string[];
}

function node({ zone = "zone-1", address = first, taints = [], finalizers = [] }: NodeState = {}): RawObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "here", finalizers, labels: { "topology.kubernetes.io/zone": zone } },
    spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"], taints },
    status: { addresses: [{ type: "InternalIP", address }] },
  };
}

async function replace(plane: ControlPlane, node: RawObject): Promise<void> {
  await plane.replace(node);
  // This deletes it if it was waiting for its last finalizer.
  await plane.request("PUT", "/api/v1/nodes/here/status", node).catch((error) => {
    if (!/not found/.test(String(error))) throw error;
  });
}

/** Waits until /healthz returns this status with these values in its body. */
async function healthIs(status: number, expected: Partial<HealthBody>): Promise<HealthBody> {
  let seen: { status: number; body: HealthBody } | undefined;
  await until(
    async () => {
      const response = await fetch("http://127.0.0.1:10256/healthz");
      const body: HealthBody = await response.json();
      seen = { status: response.status, body };
      const withExpected = JSON.stringify({
        ...body,
        ...expected,
        source: { ...body.source, ...expected.source },
      });
      return response.status === status && withExpected === JSON.stringify(body);
    },
    `/healthz is ${status} with ${JSON.stringify(expected)}`,
    20_000,
    () => JSON.stringify(seen),
  );
  if (seen === undefined) throw new Error("no answer");
  return seen.body;
}

async function healthCheckIs(hostname: string, expected: string): Promise<void> {
  let seen = "";
  await until(
    async () => (seen = await healthCheck(hostname)) === expected,
    `the health check on ${hostname} is ${expected}`,
    10_000,
    () => seen,
  );
}

async function healthCheck(hostname: string): Promise<string> {
  try {
    const response = await fetch(`http://${hostname}:${healthCheckNodePort}/`);
    return `${response.status} ${(await response.json()).localEndpoints}`;
  } catch (error) {
    if (error instanceof TypeError) return "closed";
    throw error;
  }
}
