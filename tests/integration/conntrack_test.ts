import { NetworkNamespace, WITHOUT_NET_ADMIN } from "./support/network_namespace.ts";

Deno.test("conntrack entries are found and removed on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("conntrack/privileged");
});

Deno.test("without CAP_NET_ADMIN, conntrack entries stay, with one warning", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("conntrack/unprivileged", WITHOUT_NET_ADMIN);
});

Deno.test("conntrack entries of flows that someone else translates are created on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("conntrack/translated_flow");
});
