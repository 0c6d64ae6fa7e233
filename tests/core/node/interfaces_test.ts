import assert from "node:assert/strict";
import { changesNode } from "../../../core/node/interfaces.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../../../ffi/netlink/rtnetlink/constants.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";

/** The kernel's notification about added and removed addresses on the devices with these indexes. */
function notification(...devices: readonly number[]): Uint8Array {
  const writer = new MessageWriter();
  for (const [nth, device] of devices.entries()) {
    writer.begin(nth % 2 === 0 ? RTM_NEWADDR : RTM_DELADDR, 0, 0);
    // struct ifaddrmsg
    for (const byte of [2, 32, 0x80, 0, device, 0, 0, 0]) writer.rawU8(byte);
    writer.end();
  }
  return writer.bytes();
}

Deno.test("address changes on the device of services are no change of the node", () => {
  assert.equal(changesNode(notification(7, 7), [7]), false);
  assert.equal(changesNode(notification(7, 2), [7]), true);
  assert.equal(changesNode(notification(2, 7), [7]), true);
  assert.equal(changesNode(notification(7), []), true, "there is no such device");
});
