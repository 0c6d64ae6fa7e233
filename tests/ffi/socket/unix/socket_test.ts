import { deepEqual, equal } from "node:assert/strict";
import { monotonicMicroseconds } from "../../../../ffi/system/process.ts";
import { DatagramSender } from "../../../../ffi/socket/unix/socket.ts";
import { libc } from "../../../../ffi/libraries/libc.ts";
import { DatagramReceiver } from "./datagram_receiver.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a datagram arrives at a path and at an abstract name", () => {
  const directory = Deno.makeTempDirSync();
  for (const path of [`${directory}/socket`, `\0test-${crypto.randomUUID()}`]) {
    using receiver = new DatagramReceiver(path);
    using sender = new DatagramSender(path);
    equal(sender.send(bytes("READY=1\nSTATUS=größer")), true);
    equal(sender.send(bytes("WATCHDOG=1")), true);
    deepEqual(receiver.messages, ["READY=1\nSTATUS=größer", "WATCHDOG=1"]);
  }
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("a datagram that nobody takes is reported, without waiting", () => {
  const path = `\0test-${crypto.randomUUID()}`;
  using sender = new DatagramSender(path);
  equal(sender.send(bytes("x")), false, "nobody has the socket");
  using _receiver = new DatagramReceiver(path);
  let sent = 0;
  while (sender.send(bytes("x"))) sent++;
  equal(sent > 0, true);
});

Deno.test("the clock of the node runs in microseconds", async () => {
  const before = monotonicMicroseconds();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const passed = monotonicMicroseconds() - before;
  equal(passed >= 19_000n && passed < 60_000_000n, true, `${passed}`);
  // CLOCK_MONOTONIC stops while the machine sleeps, and the uptime does not.
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  equal(Number(before) / 1e6 <= uptime, true);
});
