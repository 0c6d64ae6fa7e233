import assert from "node:assert/strict";
import { KernelError } from "../../../ffi/errors.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { attribute, messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { readRejections } from "../../../ffi/netlink/exchange.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "./nft_messages.ts";

/** Run by netlink_socket_test.ts in its own network namespace. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };
const elements = 100_000;

Deno.test("a request is answered and acknowledged", keepsLibraries, async () => {
  using client = NetlinkClient.open(NETLINK_NETFILTER);
  assert.notEqual(client.portId, 0);
  const answers = await client.request("get the generation", nft.getGeneration);
  assert.deepEqual(answers.map(({ type, pid }) => ({ type, pid })), [{
    type: nft.NFT_MSG_NEWGEN,
    pid: client.portId,
  }]);
});

Deno.test(
  "each rejected message of a batch is reported with its sequence number",
  keepsLibraries,
  async () => {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    const writer = new MessageWriter();
    nft.batch(writer, () => {
      nft.addTable(writer, 1);
      nft.addChain(writer, 2, "missing");
      nft.addChain(writer, 3, "t");
      nft.addChain(writer, 4, "missing too");
    });
    await socket.send(writer.bytes());
    assert.deepEqual(readRejections(socket).map(({ seq, errno }) => ({ seq, errno })), [
      { seq: 2, errno: 2 },
      { seq: 4, errno: 2 },
    ]);
  },
);

Deno.test(
  "a batch of megabytes is sent at once while timers run, and a dump reads it back",
  keepsLibraries,
  async () => {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    const writer = new MessageWriter();
    nft.batch(writer, () => {
      nft.addTable(writer, 1);
      nft.addSet(writer, 2);
      nft.addElements(writer, 3, elements);
    });
    assert.ok(writer.length > 1_500_000);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await socket.send(writer.bytes());
    clearInterval(timer);
    assert.ok(ticks > 0, "the main thread was blocked");
    assert.deepEqual(readRejections(socket), []);

    const answers = await new NetlinkClient(socket).dump("list elements", nft.dumpElements);
    const read = new Set(answers.flatMap(keysOf));
    assert.equal(read.size, elements);
    assert.ok(Array.from({ length: elements }, (_, key) => key).every((key) => read.has(key)));
  },
);

Deno.test(
  "a listener receives foreign changes, and recognises our own by the port",
  keepsLibraries,
  async () => {
    using listener = NetlinkSocket.open(NETLINK_NETFILTER);
    using other = NetlinkSocket.open(NETLINK_NETFILTER);
    listener.joinGroup(nft.NFNLGRP_NFTABLES);
    assert.equal(await listener.readable(0), false);

    const writer = new MessageWriter();
    nft.batch(writer, () => nft.addChain(writer, 1, "t"));
    for (const sender of [other, listener]) {
      await sender.send(writer.bytes());
      assert.ok(await listener.readable(1000));
      const received: NetlinkMessage[] = [];
      for (let datagram = listener.receive(); datagram !== undefined; datagram = listener.receive()) {
        received.push(...messages(datagram));
      }
      assert.ok(received.some(({ type }) => type === nft.NFT_MSG_NEWGEN));
      assert.deepEqual(new Set(received.map(({ pid }) => pid)), new Set([sender.portId]));
    }

    listener.leaveGroup(nft.NFNLGRP_NFTABLES);
    await other.send(writer.bytes());
    assert.equal(await listener.readable(20), false);
  },
);

Deno.test(
  "a listener that reads too slowly is notified of the loss, and receives again afterwards",
  keepsLibraries,
  async () => {
    using listener = NetlinkSocket.open(NETLINK_NETFILTER, { receiveBuffer: 2048 });
    using other = NetlinkSocket.open(NETLINK_NETFILTER);
    listener.joinGroup(nft.NFNLGRP_NFTABLES);
    const writer = new MessageWriter();
    nft.batch(writer, () => nft.addChain(writer, 1, "t"));
    for (let round = 0; round < 100; round++) await other.send(writer.bytes());
    assert.ok(await listener.readable(1000));
    assert.throws(() => drain(listener), (error) => {
      assert.ok(error instanceof KernelError);
      assert.equal(error.errnoName, "ENOBUFS");
      return true;
    });
    drain(listener);
    await other.send(writer.bytes());
    assert.ok(await listener.readable(1000));
  },
);

Deno.test("closing a socket ends its waits, and later calls fail", keepsLibraries, async () => {
  const socket = NetlinkSocket.open(NETLINK_ROUTE);
  const waits = [socket.readable(-1), socket.readable(-1)];
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket[Symbol.dispose]();
  socket[Symbol.dispose]();
  assert.deepEqual(await Promise.all(waits), [false, false]);
  assert.equal(await socket.readable(-1), false);
  assert.throws(() => socket.receive(), /receive from NETLINK_ROUTE: EBADF .*was closed/);
  await assert.rejects(socket.send(new Uint8Array(16)), /EBADF/);
});

Deno.test("an unknown protocol is an error that names it", keepsLibraries, () => {
  assert.throws(
    () => NetlinkSocket.open(31),
    /^KernelError: open a netlink protocol 31 socket: EPROTONOSUPPORT/,
  );
});

Deno.test("closed sockets leave no open descriptor", keepsLibraries, async () => {
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = open();
  for (let round = 0; round < 20; round++) {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    await socket.readable(0);
  }
  // The last ones are closed off the main thread.
  while (open() > before) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(open(), before);
});

function drain(socket: NetlinkSocket): void {
  while (socket.receive() !== undefined);
}

function keysOf(answer: NetlinkMessage): number[] {
  const list = attribute(answer.payload, 3, 4);
  return [...list?.attributes() ?? []].map((element) => element.attribute(1)?.attribute(1)?.u32be() ?? -1);
}
