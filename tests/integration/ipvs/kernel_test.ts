import { NetworkNamespace } from "../support/network_namespace.ts";
import { hasIpvs, missingIpvs } from "./support/has_ipvs.ts";

for (
  const [which, sentence] of [
    ["servers", "virtual and real servers are what ipvsadm lists"],
    ["device", "the device of service addresses is what ip lists"],
    ["node", "mode ipvs finds and sets what it needs of a node"],
    ["options", "the options of mode ipvs do what they say"],
    ["restart", "a restart of mode ipvs changes only what is different"],
    ["removal", "removed endpoints of mode ipvs keep their connections"],
    ["foreign_servers", "virtual servers of others stay"],
    ["native_text", "the stock tools read what mode ipvs renders, and differences are named"],
  ]
) {
  Deno.test({
    name: `${sentence}, on a real kernel${missingIpvs}`,
    ignore: !hasIpvs(),
    async fn() {
      await using namespace = await NetworkNamespace.make();
      await namespace.run("ip", "link", "set", "lo", "up");
      await namespace.runTests(`ipvs/${which}`);
    },
  });
}
