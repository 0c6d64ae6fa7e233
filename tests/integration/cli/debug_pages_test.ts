import assert from "node:assert/strict";
import { Node } from "./support/node.ts";

const METRICS = "http://127.0.0.1:10249";

async function get(node: Node, path: string, ...options: readonly string[]): Promise<string> {
  const url = `${METRICS}${path}`;
  return await node.namespace.run("curl", "--silent", "--noproxy", "*", "--max-time", "60", ...options, url);
}

/** The answer to a web page whose own name leads to the node. */
async function getByForeignName(node: Node, path: string, method = "GET"): Promise<string> {
  const options = [
    "--header",
    "Host: evil.example",
    "--request",
    method,
    "--data",
    method === "PUT" ? "2" : "",
  ];
  return await get(node, path, ...options, "--write-out", " %{http_code}");
}

Deno.test("the built proxy serves its flags, its status and its profiles", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--profiling", "--nodeport-addresses=primary", "-v=1");
  await proxy.inForce();
  const flagz = await get(node, "/flagz");
  for (
    const line of ["profiling: true", "nodeport-addresses: [primary]", "v: 1", "iptables-sync-period: 30s"]
  ) {
    assert.ok(flagz.split("\n").includes(line), `${line} in ${flagz}`);
  }
  assert.match(await get(node, "/statusz"), /^Paths: \/configz \/flagz \/healthz \/metrics \/proxyMode$/m);
  const profile: { nodes: readonly unknown[] } = JSON.parse(
    await get(node, "/debug/pprof/profile?seconds=1"),
  );
  assert.ok(profile.nodes.length > 1);
  const heap: { snapshot: { node_count: number } } = JSON.parse(await get(node, "/debug/pprof/heap"));
  assert.ok(heap.snapshot.node_count > 10_000);
  assert.doesNotMatch(proxy.log, /is not proxied/);
  const put = ["--silent", "--noproxy", "*", "--request", "PUT", "--data", "2", `${METRICS}/debug/flags/v`];
  assert.equal(await node.namespace.run("curl", ...put), "successfully set klog.logging.verbosity to 2\n");
  const external = { type: "ExternalName", externalName: "example.org" };
  await node.write("external.yaml", [
    { apiVersion: "v1", kind: "Service", metadata: { name: "far" }, spec: external },
  ]);
  await proxy.logs(/Service default\/far is not proxied/);
  assert.ok(proxy.isRunning);
});

Deno.test("without --profiling there are no profiles, and feature gates take the pages away", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--feature-gates=ComponentStatusz=false,ComponentFlagz=false");
  await proxy.inForce();
  for (const path of ["/debug/pprof/", "/debug/pprof/heap", "/debug/flags/v", "/statusz", "/flagz"]) {
    assert.equal(await get(node, path), "404 page not found\n", path);
  }
});

Deno.test("a request to a foreign name gets neither profiles, flags, configuration, API nor page", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--profiling", "-v=1");
  await proxy.inForce();
  const pages = ["/", "/page.js", "/configz", "/flagz", "/statusz", "/api/v1/status", "/api/v1/events"];
  const debugPages = ["/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap", "/debug/flags"];
  const refusal =
    '{"error":"host \\"evil.example\\": use an IP address, localhost, or the name of the node"} 403';
  for (const path of [...pages, ...debugPages]) {
    assert.equal(await getByForeignName(node, path), refusal, path);
  }
  assert.equal(await getByForeignName(node, "/debug/flags/v", "PUT"), refusal);
  assert.match(await get(node, "/flagz"), /^v: 1$/m);
  for (const path of ["/metrics", "/healthz", "/proxyMode"]) {
    assert.match(await getByForeignName(node, path), / 200$/, path);
  }
});
