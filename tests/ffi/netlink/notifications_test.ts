import assert from "node:assert/strict";
import { Notifications } from "../../../ffi/netlink/notifications.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "./fake_transport.ts";

const DATAGRAMS = 20;
/** Longer than a time slice. */
const MS_PER_DATAGRAM = 6;

Deno.test("other work runs between many notifications", async () => {
  const transport = new FakeTransport();
  transport.deliver(...Array.from({ length: DATAGRAMS }, datagram));
  const drained = Promise.withResolvers<void>();
  let handled = 0, others = 0;
  const other = setInterval(() => others++, 0);
  using _notifications = new Notifications(transport, {
    each() {
      handled++;
      for (const started = performance.now(); performance.now() - started < MS_PER_DATAGRAM;);
    },
    drained: drained.resolve,
    missed: assert.fail,
  });
  await drained.promise;
  clearInterval(other);
  assert.equal(handled, DATAGRAMS);
  assert.ok(others >= DATAGRAMS / 2, `${others} runs of other work`);
});

Deno.test("nothing is handled after the end, also when notifications were pending", async () => {
  const transport = new FakeTransport();
  transport.deliver(...Array.from({ length: DATAGRAMS }, datagram));
  let handled = 0;
  const notifications: Notifications = new Notifications(transport, {
    each() {
      handled++;
      notifications[Symbol.dispose]();
    },
    drained: assert.fail,
    missed: assert.fail,
  });
  assert.equal(notifications.isDisposed, false);
  while (handled === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(handled, 1);
});

function datagram(): Uint8Array<ArrayBuffer> {
  const message = new MessageWriter(64);
  message.begin(0x20, 0, 0);
  message.end();
  return message.bytes();
}
