import assert from "node:assert/strict";
import { formatSocketAddress } from "../../../core/net/address.ts";
import { readListeners } from "../../../core/node/listeners.ts";
import { socketOwners } from "../../../core/node/socket_owners.ts";

Deno.test("listening sockets of this process are found, in both families, with their owner", () => {
  const sockets = ["127.0.0.1", "::1"].map((hostname) => Deno.listen({ hostname, port: 0 }));
  try {
    const all = [...readListeners("IPv4"), ...readListeners("IPv6")];
    for (const { addr } of sockets) {
      assert(addr.transport === "tcp");
      const { hostname, port } = addr;
      const found = all.find((one) => one.port === port);
      assert(found !== undefined, hostname);
      assert.equal(
        formatSocketAddress(found.address, port),
        hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`,
      );
      assert.equal(socketOwners(new Set([found.inode])).get(found.inode)?.pid, Deno.pid);
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
});

Deno.test("a connection is no listening socket", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { addr } = listener;
  assert(addr.transport === "tcp");
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: addr.port });
  using accepted = await listener.accept();
  assert(connection.localAddr.transport === "tcp" && accepted.localAddr.transport === "tcp");
  const { port } = connection.localAddr;
  assert.equal(readListeners("IPv4").some((one) => one.port === port), false);
  assert.equal(readListeners("IPv4").filter((one) => one.port === addr.port).length, 1);
});

Deno.test("no socket has no owner, and no search", () => assert.equal(socketOwners(new Set()).size, 0));
