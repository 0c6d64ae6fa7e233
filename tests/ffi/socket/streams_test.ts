import assert from "node:assert/strict";
import { AF_INET } from "../../../ffi/inet.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { reset, takeError, unacknowledgedBytes, unreadBytes } from "../../../ffi/socket/options.ts";
import { Pipe } from "../../../ffi/socket/pipe.ts";
import {
  closeSocket,
  endStream,
  FAILED,
  FAILED_AFTER_END,
  sendBytes,
  TransferBuffer,
  WOULD_BLOCK,
} from "../../../ffi/socket/stream.ts";
import {
  acceptTcp,
  connectTcp,
  listenTcp,
  localPort,
  NO_CONNECTION,
  tcpSocket,
} from "../../../ffi/socket/tcp.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { connected, loopback } from "./loopback.ts";

const keepsLibraries = { sanitizeResources: false };
const BYTES = new Uint8Array([1, 2, 3]);

Deno.test("a transfer tells bytes, the end, waiting and failure apart", keepsLibraries, () => {
  const buffer = new TransferBuffer(100);
  const { client, server } = connected();
  assert.equal(buffer.receive(server), WOULD_BLOCK);
  assert.equal(sendBytes(client, BYTES), 3);
  assert.equal(buffer.receive(server), 3);
  assert.deepEqual(buffer.copy(1, 3), new Uint8Array([2, 3]));
  assert.equal(buffer.send(server, 2), 2);
  assert.equal(buffer.receive(client), 2);
  endStream(client);
  assert.equal(buffer.receive(server), 0);
  reset(server);
  assert.equal(buffer.receive(client), FAILED);
  closeSocket(client);
});

Deno.test("a reset is told from one that came after the end of the stream", keepsLibraries, () => {
  for (const hasEnded of [false, true]) {
    const { client, server } = connected();
    if (hasEnded) endStream(server);
    reset(server);
    assert.equal(sendBytes(client, BYTES), hasEnded ? FAILED_AFTER_END : FAILED);
    closeSocket(client);
  }
});

Deno.test("the bytes in the buffers of a socket are counted, also after a reset", keepsLibraries, () => {
  const { client, server } = connected();
  assert.deepEqual([unreadBytes(server), unacknowledgedBytes(client)], [0, 0]);
  const sent = sendBytes(client, new Uint8Array(10_000_000));
  assert(unreadBytes(server) > 0 && unacknowledgedBytes(client) > 0);
  assert(unreadBytes(server) + unacknowledgedBytes(client) >= sent);
  const received = unreadBytes(server);
  reset(client);
  assert.equal(unreadBytes(server), received);
  closeSocket(server);
});

Deno.test("a socket takes only so many bytes from a sender that nobody reads", keepsLibraries, () => {
  using pair = connected();
  const chunk = new Uint8Array(1_000_000);
  let sent = 0;
  let result = 0;
  while ((result = sendBytes(pair.client, chunk)) > 0) sent += result;
  assert.equal(result, WOULD_BLOCK);
  assert(sent > 0 && sent < 100_000_000);
});

Deno.test("a pipe carries bytes from one socket to another", keepsLibraries, () => {
  using from = connected();
  using to = connected();
  using pipe = Pipe.open(65_536);
  assert(pipe !== undefined);
  assert.equal(pipe.fill(from.server, 1000n), WOULD_BLOCK);
  sendBytes(from.client, BYTES);
  assert.equal(pipe.fill(from.server, 1000n), 3);
  assert.equal(pipe.length, 3);
  assert.equal(pipe.drain(to.client), 3);
  assert.equal(pipe.length, 0);
  const buffer = new TransferBuffer(100);
  assert.equal(buffer.receive(to.server), 3);
  assert.deepEqual(buffer.copy(0, 3), BYTES);
  endStream(from.client);
  assert.equal(pipe.fill(from.server, 1000n), 0);
});

Deno.test(
  "a busy port is an error with its reason, and a rejected connection has one, too",
  keepsLibraries,
  () => {
    const listener = listenTcp("listen", AF_INET, loopback());
    const port = localPort(listener, loopback());
    assert.throws(
      () => listenTcp("listen on the same port", AF_INET, loopback(port)),
      (error) => error instanceof KernelError && error.errnoName === "EADDRINUSE",
    );
    assert.equal(acceptTcp(listener, loopback()), NO_CONNECTION);
    closeSocket(listener);
    const client = tcpSocket(AF_INET);
    connectTcp(client, loopback(port));
    assert.equal(takeError(client), errnoOf("ECONNREFUSED"));
    assert.equal(takeError(client), 0, "it is reported once");
    closeSocket(client);
  },
);

Deno.test("the address of an accepted client is that of its socket", keepsLibraries, () => {
  const listener = listenTcp("listen", AF_INET, loopback());
  const client = tcpSocket(AF_INET);
  connectTcp(client, loopback(localPort(listener, loopback())));
  const peer = loopback();
  const server = acceptTcp(listener, peer);
  assert.deepEqual([peer.address, peer.port], ["\x7f\0\0\x01", localPort(client, loopback())]);
  for (const fd of [listener, client, server]) closeSocket(fd);
});
