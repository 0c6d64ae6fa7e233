import assert from "node:assert/strict";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";
import { SocketAddress } from "../../../ffi/socket/address.ts";
import { DatagramBatch } from "../../../ffi/socket/datagrams.ts";
import { closeSocket, sendBytes } from "../../../ffi/socket/stream.ts";
import { localPort } from "../../../ffi/socket/tcp.ts";
import { bindUdp, connectUdp, udpSocket } from "../../../ffi/socket/udp.ts";

const keepsLibraries = { sanitizeResources: false };

const FAMILIES = [
  { name: "IPv4", family: AF_INET, loopback: "\x7f\0\0\x01", other: "\x7f\0\0\x09", any: "\0\0\0\0" },
  {
    name: "IPv6",
    family: AF_INET6,
    loopback: "\0".repeat(15) + "\x01",
    other: undefined,
    any: "\0".repeat(16),
  },
] as const;

for (const { name, family, loopback, other, any } of FAMILIES) {
  Deno.test(
    `datagrams have source and destination, and answers leave from it (${name})`,
    keepsLibraries,
    () => {
      const address = (bytes: string, port: number) => {
        const result = new SocketAddress(family);
        result.set(bytes, port);
        return result;
      };
      const server = bindUdp("listen", family, address(any, 0), 100_000);
      const port = localPort(server, new SocketAddress(family));
      const client = udpSocket(family);
      // In IPv4 not the address that the kernel would answer from.
      const destination = other ?? loopback;
      assert(connectUdp(client, address(destination, port)));
      const texts = ["one", "two two", ""].map((text) => new TextEncoder().encode(text));
      for (const text of texts) sendBytes(client, text);

      const batch = new DatagramBatch(8);
      assert.equal(batch.receive(server), 3);
      const source = new SocketAddress(family);
      source.bytes.set(batch.sourceOf(0).subarray(0, source.length));
      assert.deepEqual([source.address, source.port], [
        loopback,
        localPort(client, new SocketAddress(family)),
      ]);
      assert.deepEqual([0, 1, 2].map((slot) => batch.copyOf(slot)), texts);
      assert.equal(batch.destinationOf(0, family), destination);

      batch.reply(server, 2, family, batch.sourceOf(0), destination);
      const answers = new DatagramBatch(8);
      // A connected socket receives only from its peer.
      assert.equal(answers.receive(client), 2);
      assert.deepEqual(answers.copyOf(1), texts[1]);
      assert(answers.receive(client) < 0, "no more");

      assert(answers.forward(1, client));
      assert.equal(batch.receive(server), 1);
      assert.deepEqual(batch.copyOf(0), texts[1]);
      closeSocket(client);
      closeSocket(server);
    },
  );
}
