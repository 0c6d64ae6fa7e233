import { namespacedTest } from "../namespaced/path.ts";
import { NetworkNamespace } from "./support/network_namespace.ts";

Deno.test("netlink sockets work on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.run(Deno.execPath(), "test", "--quiet", "-A", namespacedTest("netlink/privileged"));
});

Deno.test("without CAP_NET_ADMIN, netlink sockets report the missing capability", async () => {
  await using namespace = await NetworkNamespace.make();
  const dropped = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
  await namespace.run(
    ...dropped,
    Deno.execPath(),
    "test",
    "--quiet",
    "-A",
    namespacedTest("netlink/unprivileged"),
  );
});
