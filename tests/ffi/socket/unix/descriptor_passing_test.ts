import assert from "node:assert/strict";
import {
  acceptPeer,
  connectToPeer,
  listenForPeers,
  MAX_DESCRIPTORS,
  receiveDescriptors,
  sendDescriptors,
} from "../../../../ffi/socket/unix/descriptor_passing.ts";
import { openFile } from "../../../../ffi/files/file_descriptor.ts";
import { peerCredentials } from "../../../../ffi/socket/unix/peer_credentials.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";

const keepsLibraries = { sanitizeResources: false };

/** A pair of connected sockets. */
function pair(): { readonly sender: number; readonly receiver: number; readonly close: () => void } {
  const name = `proxy-test/${crypto.randomUUID()}`;
  const listener = listenForPeers(name);
  assert(listener !== undefined);
  assert.equal(acceptPeer(listener), undefined);
  const receiver = connectToPeer(name, 200);
  const sender = acceptPeer(listener);
  assert(receiver !== undefined && sender !== undefined);
  return { sender, receiver, close: () => [listener, receiver, sender].forEach(closeSocket) };
}

const target = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);

Deno.test("a message brings its bytes and its descriptors", keepsLibraries, () => {
  const { sender, receiver, close } = pair();
  using file = openFile("/proc/self/status");
  using other = openFile("/proc/self/maps");
  assert(file !== undefined && other !== undefined);
  const bytes = new TextEncoder().encode("two files");
  assert.equal(sendDescriptors(sender, { bytes, descriptors: [file.fd, other.fd] }), bytes.length);
  const received = receiveDescriptors(receiver, 100);
  assert(received !== undefined);
  assert.deepEqual(received.bytes, bytes);
  assert.equal(received.descriptors.length, 2);
  for (const [index, fd] of received.descriptors.entries()) {
    assert.notEqual(fd, [file.fd, other.fd][index]);
    assert.equal(target(fd), target([file.fd, other.fd][index] ?? -1));
    assert.match(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`), /^flags:\s+02/m, "close-on-exec");
    closeSocket(fd);
  }
  close();
});

Deno.test("a message can have the most descriptors, and none", keepsLibraries, () => {
  const { sender, receiver, close } = pair();
  using file = openFile("/proc/self/status");
  assert(file !== undefined);
  const bytes = new Uint8Array([1]);
  for (const count of [0, 1, MAX_DESCRIPTORS]) {
    assert.equal(sendDescriptors(sender, { bytes, descriptors: Array(count).fill(file.fd) }), 1);
    const received = receiveDescriptors(receiver, 1);
    assert.equal(received?.descriptors.length, count);
    received?.descriptors.forEach(closeSocket);
  }
  close();
});

Deno.test("a receiver does not wait for longer than its limit", keepsLibraries, () => {
  const { receiver, close } = pair();
  assert.equal(receiveDescriptors(receiver, 10), undefined);
  close();
});

Deno.test("both ends learn the other's process", keepsLibraries, () => {
  const { sender, receiver, close } = pair();
  for (const end of [sender, receiver]) {
    assert.deepEqual(peerCredentials(end), { pid: Deno.pid, uid: Deno.uid() });
  }
  close();
});

Deno.test("a name that another process listens on cannot be taken", keepsLibraries, () => {
  const name = `proxy-test/${crypto.randomUUID()}`;
  assert.equal(connectToPeer(name, 100), undefined);
  const listener = listenForPeers(name);
  assert(listener !== undefined);
  assert.equal(listenForPeers(name), undefined);
  closeSocket(listener);
});
