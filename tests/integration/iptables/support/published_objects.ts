import assert from "node:assert/strict";
import type { NodeNamespace } from "./node_namespace.ts";

/**
 * The objects that a proxy reads from the API server on this node, with the server's defaults: lists as YAML.
 */
export async function publishedObjects(node: NodeNamespace): Promise<string> {
  const token = Deno.readTextFileSync(`${node.directory}/control-plane/token`).trim();
  const { code, stdout, stderr } = await node.run("node", [
    ...["curl", "--silent", "--show-error", "--fail", "--insecure", "--noproxy", "*"],
    ...["--header", `Authorization: Bearer ${token}`, "--write-out", "\\n---\\n"],
    ...collections.map((collection) => `https://127.0.0.1:6443${collection}`),
  ]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const collections = [
  "/api/v1/nodes",
  "/api/v1/services",
  "/apis/discovery.k8s.io/v1/endpointslices",
];
