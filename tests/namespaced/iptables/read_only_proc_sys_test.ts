import assert from "node:assert/strict";
import { routeLocalnet } from "../../../backends/iptables/host_settings.ts";

/** kernel_test.ts runs this test with a read-only /proc/sys, as in a container. */

Deno.test("a read-only /proc/sys is reported as the reason that node ports do not answer on loopback", () => {
  assert.match(
    routeLocalnet() ?? "",
    /Read-only file system.*do not answer on loopback.*Set it to 1 on the node.*--iptables-localhost-nodeports=false/,
  );
});
