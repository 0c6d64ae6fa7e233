import { NetworkNamespace } from "../support/network_namespace.ts";

Deno.test("the relay of mode userspace moves the bytes of redirected connections", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/streams");
});

Deno.test("the relay of mode userspace carries datagrams", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/datagrams");
});

Deno.test("the relay of mode userspace carries datagrams over paths with narrow links", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/path_mtu");
});

Deno.test("the relay of mode userspace hides endpoints that fail, and passes on what it cannot hide", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/failures");
});

Deno.test("the relay of mode userspace passes on what was sent before a reset", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/last_bytes");
});

Deno.test("the relay of mode userspace bounds its memory, its connections and its use of descriptors", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/limits");
});

Deno.test("the relay of mode userspace starts, changes and ends without losing connections", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/life");
});

Deno.test("the relay of mode userspace tells endpoints the client's address", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/proxy_protocol");
});

Deno.test("the relay of mode userspace hides an endpoint that dies without notice", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/dead_endpoint");
});

Deno.test("the relay of mode userspace frees what connections take, however they end", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/churn");
});

Deno.test("the relay of mode userspace closes all its sockets when its thread fails", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/thread_failure");
});

Deno.test("the relay of mode userspace hands its listeners over to the next process", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/hand_over");
});
