import { NetworkNamespace } from "../network_namespace.ts";
import { hasIpvs } from "./has_ipvs.ts";

for (
  const [which, sentence] of [
    ["servers", "virtual and real servers are what ipvsadm lists"],
    ["device", "the device of service addresses is what ip lists"],
    ["node", "mode ipvs finds and sets what it needs of a node"],
  ]
) {
  Deno.test({
    name: `${sentence}, on a real kernel`,
    ignore: !hasIpvs(),
    async fn() {
      await using namespace = await NetworkNamespace.make();
      await namespace.run("ip", "link", "set", "lo", "up");
      const cases = new URL(`./${which}.ts`, import.meta.url).pathname;
      await namespace.run(Deno.execPath(), "test", "--quiet", "--no-check", "-A", cases);
    },
  });
}
