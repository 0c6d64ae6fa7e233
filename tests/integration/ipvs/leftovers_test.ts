import { NetworkNamespace } from "../support/network_namespace.ts";
import { missingIpset } from "./support/has_ipvs.ts";

Deno.test({
  name:
    `the sets of kube-proxy in mode ipvs are removed once no rule uses them, on a real kernel${missingIpset}`,
  ignore: missingIpset !== "",
  async fn() {
    await using namespace = await NetworkNamespace.make();
    await namespace.runTests("ipvs/leftovers");
  },
});
