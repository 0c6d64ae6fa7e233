import assert from "node:assert/strict";
import { EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../../ffi/socket/constants.ts";
import { Epoll } from "../../../ffi/socket/epoll.ts";
import { endStream, sendBytes } from "../../../ffi/socket/stream.ts";
import { WakeCounter } from "../../../ffi/socket/wake.ts";
import { connected } from "./loopback.ts";

// The C library stays open for the life of the process.
const keepsLibraries = { sanitizeResources: false };

Deno.test("an event names its descriptor, its generation and what happened", keepsLibraries, () => {
  using epoll = new Epoll();
  using pair = connected();
  assert(epoll.add(pair.server, 0xffff_ffff, EPOLLIN | EPOLLRDHUP));
  assert.equal(epoll.wait(0), 0);
  sendBytes(pair.client, new Uint8Array([1]));
  assert.equal(epoll.wait(1000), 1);
  assert.deepEqual([epoll.fdOf(0), epoll.generationOf(0), epoll.eventsOf(0)], [
    pair.server,
    0xffff_ffff,
    EPOLLIN,
  ]);
  endStream(pair.client);
  epoll.wait(1000);
  assert.equal(epoll.eventsOf(0), EPOLLIN | EPOLLRDHUP);
});

Deno.test(
  "events of several descriptors come in one call, and those that are reported once only once",
  keepsLibraries,
  () => {
    using epoll = new Epoll();
    using pair = connected();
    epoll.add(pair.server, 1, EPOLLOUT | EPOLLET);
    epoll.add(pair.client, 2, EPOLLOUT | EPOLLET);
    assert.equal(epoll.wait(1000), 2);
    const reported = [0, 1].map((index) => [epoll.fdOf(index), epoll.generationOf(index)]);
    assert.deepEqual(new Map(reported as [number, number][]), new Map([[pair.server, 1], [pair.client, 2]]));
    assert.equal(epoll.wait(0), 0);
    epoll.modify(pair.client, 3, EPOLLOUT | EPOLLET);
    assert.equal(epoll.wait(0), 1);
    assert.equal(epoll.generationOf(0), 3);
    epoll.remove(pair.client);
    endStream(pair.client);
    endStream(pair.server);
    assert.equal(epoll.wait(0), 1);
    assert.deepEqual([epoll.fdOf(0), (epoll.eventsOf(0) & EPOLLHUP) !== 0], [pair.server, true]);
  },
);

Deno.test("a wake counter counts until it is taken", keepsLibraries, () => {
  using epoll = new Epoll();
  using counter = WakeCounter.create();
  epoll.add(counter.fd, 1, EPOLLIN);
  assert.equal(counter.take(), 0);
  const otherThread = new WakeCounter(counter.fd);
  otherThread.increment();
  otherThread.increment();
  assert.equal(epoll.wait(1000), 1);
  assert.equal(counter.take(), 2);
  assert.equal(epoll.wait(0), 0);
});
