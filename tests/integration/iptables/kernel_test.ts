import { namespacedTest } from "../../namespaced/path.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";

Deno.test("mode iptables reads and sets the host settings it needs on a real kernel", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.run("ip", "link", "set", "lo", "up");
  await namespace.runTests("iptables/privileged");
});

Deno.test("mode iptables reports what it cannot set where /proc/sys is read-only", async () => {
  await using namespace = await NetworkNamespace.make();
  const script = 'mount -o bind,ro /proc/sys /proc/sys && exec "$0" test --quiet -A "$1"';
  await namespace.run(
    "unshare",
    "--mount",
    "sh",
    "-c",
    script,
    Deno.execPath(),
    namespacedTest("iptables/read_only_proc_sys"),
  );
});

Deno.test("mode iptables works without a match that the kernel lacks, except for services that need it", async () => {
  await using namespace = await NetworkNamespace.make();
  await namespace.runTests("iptables/without_sctp");
});
