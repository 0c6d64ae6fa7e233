import assert from "node:assert/strict";
import { Lab } from "../../lab/lab.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { dashboardQueries, Prometheus } from "../../namespaced/kube/prometheus.ts";
import { webObjects } from "../support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

Deno.test("a real Prometheus has data for the queries about bytes, in mode ebpf with --traffic-metrics=full", async () => {
  const queries = dashboardQueries().filter(({ expr }) => expr.includes("kubeproxy_service_bytes_total"));
  assert.notEqual(queries.length, 0);
  await using lab = await Lab.create(true);
  const manifests = `${lab.directory}/manifests`;
  await Deno.mkdir(manifests);
  const list = { apiVersion: "v1", kind: "List", items: webObjects("web", web.to) };
  await Deno.writeTextFile(`${manifests}/web.json`, JSON.stringify(list));
  const proxy = new ProxyProcess(lab, manifests, "ebpf", ["--traffic-metrics=full"]);
  try {
    await answered(lab.agent("outside"), web);
    const place = {
      spawn: (command: readonly string[]) => lab.spawn("node", command, { stdout: "null", stderr: "null" }),
      get: async (url: string) => (await lab.run("node", ["curl", "--silent", "--noproxy", "*", url])).stdout,
    };
    await using prometheus = new Prometheus({ place });
    await prometheus.scrapes();
    const load = setInterval(() => lab.agent("outside").probe(web, { times: 4 }), 500);
    try {
      await prometheus.hasData(queries);
    } finally {
      clearInterval(load);
    }
  } finally {
    await proxy.stop();
  }
});
