import { NetworkNamespace } from "../support/network_namespace.ts";

Deno.test("the relay of mode userspace moves the bytes of redirected connections", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/streams");
});

Deno.test("the relay of mode userspace carries datagrams", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/datagrams");
});

Deno.test("the relay of mode userspace hides endpoints that fail, and passes on what it cannot hide", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("userspace/failures");
});
