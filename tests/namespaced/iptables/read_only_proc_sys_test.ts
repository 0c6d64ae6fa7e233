import assert from "node:assert/strict";
import { routeLocalnet } from "../../../backends/iptables/host_settings.ts";

/** Run by kernel_test.ts where /proc/sys is read-only, as it is in a container. */

Deno.test("a read-only /proc/sys is said to be the reason that node ports do not answer on loopback", () => {
  assert.match(
    routeLocalnet() ?? "",
    /do not answer on loopback.*Read-only file system.*Set it to 1 on the node.*--iptables-localhost-nodeports=false/,
  );
});
