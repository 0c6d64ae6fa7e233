import { NetworkNamespace } from "../network_namespace.ts";
import { missingIpset } from "./has_ipvs.ts";

Deno.test({
  name: `the sets of kube-proxy in mode ipvs go once no rule uses them, on a real kernel${missingIpset}`,
  ignore: missingIpset !== "",
  async fn() {
    await using namespace = await NetworkNamespace.make();
    const cases = new URL("./leftovers.ts", import.meta.url).pathname;
    await namespace.run(Deno.execPath(), "test", "--quiet", "--no-check", "-A", cases);
  },
});
