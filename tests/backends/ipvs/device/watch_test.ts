import assert from "node:assert/strict";
import { DeviceWatch } from "../../../../backends/ipvs/device/watch.ts";
import type { Address } from "../../../../core/net/address.ts";
import { errnoOf } from "../../../../ffi/errno.ts";
import { KernelError } from "../../../../ffi/errors.ts";
import { writeDeleteAddress } from "../../../../ffi/netlink/rtnetlink/address.ts";
import { RTM_DELLINK } from "../../../../ffi/netlink/rtnetlink/constants.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { FakeTransport, type Scripted } from "../../../ffi/netlink/fake_transport.ts";
import { addressOf } from "../servers.ts";

const INDEX = 7;
const v4 = addressOf("10.96.0.10");
const v6 = addressOf("fd00:96::a");

/** A notification has the format of the request. */
function removed(address: Address, index = INDEX): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  writeDeleteAddress(writer, 0, index, address, address.length * 8);
  return writer.bytes().slice();
}

function deviceDeleted(index = INDEX): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  writer.begin(RTM_DELLINK, 0, 0);
  for (const value of [0, index, 0, 0]) writer.rawU32le(value);
  writer.end();
  return writer.bytes().slice();
}

/** Delivers notifications, and returns what the watch reports. */
async function reportsOf(
  notifications: readonly Scripted[],
  prepare: (watch: DeviceWatch) => void = () => {},
): Promise<string[]> {
  const reports: string[] = [];
  const transport = new FakeTransport();
  let wake = () => {};
  const waitsAgain = Promise.withResolvers<void>();
  let waits = 0;
  transport.readable = () => {
    if (++waits > 1) waitsAgain.resolve();
    return new Promise((resolve) => wake = () => resolve(true));
  };
  using watch = new DeviceWatch(transport, "kube-ipvs0", (what) => reports.push(what));
  watch.follow(INDEX);
  prepare(watch);
  transport.deliver(...notifications);
  wake();
  await waitsAgain.promise;
  return reports;
}

Deno.test("the removal of an address by another program is reported", async () => {
  assert.deepEqual(await reportsOf([removed(v4)]), ["address 10.96.0.10 was removed from kube-ipvs0"]);
  assert.deepEqual(await reportsOf([removed(v4), removed(v6)]), [
    "address 10.96.0.10 was removed from kube-ipvs0, and 1 more like it",
  ]);
});

Deno.test("our own removal of an address is not reported, a second removal is", async () => {
  const expectingV6 = (watch: DeviceWatch) => watch.expect(v6);
  assert.deepEqual(await reportsOf([removed(v6)], expectingV6), []);
  assert.equal((await reportsOf([removed(v6), removed(v6)], expectingV6)).length, 1);
  assert.equal((await reportsOf([removed(v6)], (watch) => (watch.expect(v6), watch.unexpect(v6)))).length, 1);
});

Deno.test("changes of other interfaces are ignored", async () => {
  assert.deepEqual(await reportsOf([removed(v4, 1), deviceDeleted(1)]), []);
  assert.deepEqual(await reportsOf([removed(v4), deviceDeleted()], (watch) => watch.follow(undefined)), []);
});

Deno.test("the deletion of the device is reported, and that of its addresses afterwards is not", async () => {
  assert.deepEqual(await reportsOf([deviceDeleted(), removed(v4)]), ["device kube-ipvs0 was deleted"]);
});

Deno.test("missed notifications are reported", async () => {
  const lost = new KernelError("receive", errnoOf("ENOBUFS"));
  assert.deepEqual(await reportsOf([lost]), ["missed notifications about kube-ipvs0 (ENOBUFS)"]);
});
