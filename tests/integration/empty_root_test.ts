import assert from "node:assert/strict";
import { NetworkNamespace, run } from "./network_namespace.ts";

const project = new URL("../../", import.meta.url).pathname;

Deno.test("the binary speaks netlink where there is no libnl and no writable disk", async () => {
  await run(`${project}scripts/build.sh`);
  await using namespace = await NetworkNamespace.make();
  await namespace.run("nft", "add table ip kube-proxy");
  await namespace.run(`${project}tests/integration/empty_root.sh`, `${project}dist/proxy`, "--cleanup");
  assert.equal(await namespace.run("nft", "list", "ruleset"), "");
});
