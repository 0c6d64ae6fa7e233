import { NetworkNamespace, WITHOUT_NET_ADMIN } from "./support/network_namespace.ts";

Deno.test("netlink sockets work on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("netlink/privileged");
});

Deno.test("without CAP_NET_ADMIN, netlink sockets report the missing capability", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("netlink/unprivileged", WITHOUT_NET_ADMIN);
});
