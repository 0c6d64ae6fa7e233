import assert from "node:assert/strict";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { resolveFamily } from "../../../ffi/netlink/genetlink.ts";
import { FakeTransport } from "./fake_transport.ts";
import { hex } from "./hex.ts";

/** The request of `ipvsadm -L`, except for version and sequence number. */
const ASKED = "20000000 1000 0500 01000000 00000000 03020000 0900 0200 49505653 00000000";

/** The kernel's answer: a name, then the id 0x20. The list of commands is left out. */
const ANSWERED =
  "28000000 1000 0000 01000000 00000000 01020000 0900 0200 49505653 00000000 0600 0100 20000000";
const ACKNOWLEDGED = "24000000 0200 0001 01000000 00000000 00000000 20000000 1000 0500 01000000 00000000";
const NO_ENTRY = "24000000 0200 0001 01000000 00000000 feffffff 20000000 1000 0500 01000000 00000000";

Deno.test("the id of a family is requested by its name", async () => {
  const transport = new FakeTransport(() => [hex(ANSWERED), hex(ACKNOWLEDGED)]);
  assert.equal(await resolveFamily(new NetlinkClient(transport), "IPVS", { advice: "Get it" }), 0x20);
  assert.deepEqual(transport.sent, [hex(ASKED)]);
});

Deno.test("a missing family is an error that contains the advice", async () => {
  await assert.rejects(
    resolveFamily(
      new NetlinkClient(new FakeTransport(() => [hex(NO_ENTRY)])),
      "IPVS",
      { advice: "IPVS is a module", fix: "modprobe ip_vs" },
    ),
    /find the generic netlink family IPVS: ENOENT \(No such file or directory\)\. IPVS is a module\. Run on the node: modprobe ip_vs$/,
  );
});

Deno.test("an answer without an id is an error", async () => {
  await assert.rejects(
    resolveFamily(new NetlinkClient(new FakeTransport(() => [hex(ACKNOWLEDGED)])), "IPVS", {
      advice: "Get it",
    }),
    /EPROTO .*contains no id/,
  );
});
