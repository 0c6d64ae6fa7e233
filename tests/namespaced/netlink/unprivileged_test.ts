import assert from "node:assert/strict";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { readRejections, rejectionError } from "../../../ffi/netlink/exchange.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "./nft_messages.ts";

/** Run by netlink_socket_test.ts without CAP_NET_ADMIN. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };
const lacksPrivilege = /EPERM .*The process lacks CAP_NET_ADMIN in this network namespace/;

Deno.test("the error of a rejected request names the missing privilege", keepsLibraries, async () => {
  using client = NetlinkClient.open(NETLINK_NETFILTER);
  await assert.rejects(client.request("get the generation", nft.getGeneration), lacksPrivilege);
});

Deno.test("the error of a rejected batch names the missing privilege", keepsLibraries, async () => {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER);
  const writer = new MessageWriter();
  nft.batch(writer, () => nft.addTable(writer, 1));
  await socket.send(writer.bytes());
  const [error] = readRejections(socket);
  assert.ok(error);
  assert.match(rejectionError("add table", error).message, lacksPrivilege);
});

Deno.test(
  "the error of a message that exceeds the send buffer contains the size of the buffer",
  keepsLibraries,
  async () => {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    await assert.rejects(
      socket.send(new Uint8Array(64 * 1024 * 1024)),
      /EMSGSIZE .*the socket's send buffer is \d+ bytes.*CAP_NET_ADMIN.*net\.core\.wmem_max/,
    );
  },
);
