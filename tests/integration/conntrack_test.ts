import { namespacedTest } from "../namespaced/path.ts";
import { NetworkNamespace } from "./support/network_namespace.ts";

Deno.test("conntrack entries are found and removed on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.run(Deno.execPath(), "test", "--quiet", "-A", namespacedTest("conntrack/privileged"));
});

Deno.test("without CAP_NET_ADMIN, conntrack entries stay, with one warning", async () => {
  await using namespace = await NetworkNamespace.make();
  const dropped = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
  await namespace.run(
    ...dropped,
    Deno.execPath(),
    "test",
    "--quiet",
    "-A",
    namespacedTest("conntrack/unprivileged"),
  );
});
