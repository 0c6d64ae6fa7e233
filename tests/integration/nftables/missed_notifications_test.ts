import { NetworkNamespace } from "../support/network_namespace.ts";

Deno.test("after missed notifications the tables are compared, and written again only if they differ", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("nftables/missed_notifications");
});
