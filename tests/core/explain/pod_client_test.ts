import assert from "node:assert/strict";
import { parsePodName, PodSearch } from "../../../core/explain/pod_client.ts";
import { address } from "../plan/builders.ts";

const cart = { namespace: "shop", name: "cart-7d9f" };

const slice = {
  kind: "EndpointSlice",
  endpoints: [
    { addresses: ["10.244.1.5"], nodeName: "there", targetRef: { kind: "Pod", ...cart } },
    { addresses: ["10.244.1.6"], targetRef: { kind: "Pod", namespace: "shop", name: "cart" } },
    { addresses: ["10.244.1.7"], targetRef: { kind: "Node", ...cart } },
    { addresses: ["10.244.1.8"] },
    null,
  ],
};

Deno.test("a pod is named with its namespace, or in that of the service that is asked about", () => {
  assert.deepEqual(parsePodName("pod/shop/cart-7d9f", "default"), cart);
  assert.deepEqual(parsePodName("pod/web", "default"), { namespace: "default", name: "web" });
  for (const text of ["pod/web", "pod", "pod/", "pod/a/b/c", "shop/cart", "pod/Shop/cart", "pod/../x"]) {
    assert.equal(parsePodName(text, ""), undefined, text);
  }
});

Deno.test("a pod is found in the slices that have it as an endpoint, in both families", () => {
  const search = new PodSearch(cart);
  assert.equal(search.found, undefined);
  search.read(slice);
  search.read({ ...slice, endpoints: [{ addresses: ["fd00::5"], targetRef: { kind: "Pod", ...cart } }] });
  assert.deepEqual(search.found, { addresses: [address("10.244.1.5"), address("fd00::5")], node: "there" });
});

Deno.test("a pod is found by itself, and has no address before it runs", () => {
  const search = new PodSearch(cart);
  search.read({ kind: "Pod", metadata: cart, spec: { nodeName: "here" }, status: {} });
  assert.equal(search.found, undefined);
  search.read({
    kind: "Pod",
    metadata: cart,
    spec: { nodeName: "here" },
    status: { podIP: "10.244.1.5", podIPs: [{ ip: "10.244.1.5" }, { ip: "fd00::5" }] },
  });
  assert.deepEqual(search.found, { addresses: [address("10.244.1.5"), address("fd00::5")], node: "here" });
});

Deno.test("objects of any shape are no pods", () => {
  const search = new PodSearch(cart);
  for (const raw of [null, "Pod", [], { endpoints: [{ targetRef: 5 }] }, { kind: "Pod", metadata: cart }]) {
    search.read(raw);
  }
  search.read({ endpoints: [{ addresses: [5, "nowhere"], targetRef: { kind: "Pod", ...cart } }] });
  assert.equal(search.found, undefined);
});
