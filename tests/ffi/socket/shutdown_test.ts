import assert from "node:assert/strict";
import { libc } from "../../../ffi/libraries/libc.ts";
import { shutDown, type SocketEnd } from "../../../ffi/socket/shutdown.ts";

// Stays open for the life of the process.
libc();

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

for (const hostname of ["127.0.0.1", "::"]) {
  Deno.test(`a write that waits on a connection of a listener on ${hostname} fails when it is shut down`, async () => {
    using listener = Deno.listen({ hostname, port: 0 });
    const { port } = listener.addr;
    using client = await Deno.connect({ hostname: "127.0.0.1", port });
    using other = await Deno.connect({ hostname: "127.0.0.1", port });
    using accepted = await listener.accept();
    using acceptedOther = await listener.accept();
    const fill = async () => {
      for (;;) await accepted.write(new Uint8Array(1 << 20));
    };
    const filling = assert.rejects(fill);
    const local: SocketEnd = { address: LOOPBACK, port };
    assert.equal(shutDown(local, { address: LOOPBACK, port: client.localAddr.port }), true);
    await filling;
    assert.equal(shutDown(local, { address: Uint8Array.of(127, 0, 0, 2), port }), false);
    await acceptedOther.write(Uint8Array.of(1));
    assert.equal(await other.read(new Uint8Array(1)), 1, "the other connection goes on");
  });
}

Deno.test("a connection of IPv6 is found by its ends", async () => {
  using listener = Deno.listen({ hostname: "::1", port: 0 });
  using client = await Deno.connect({ hostname: "::1", port: listener.addr.port });
  using accepted = await listener.accept();
  const address = new Uint8Array(16);
  address[15] = 1;
  assert.equal(
    shutDown({ address, port: listener.addr.port }, { address, port: client.localAddr.port }),
    true,
  );
  assert.equal(await accepted.read(new Uint8Array(1)), null);
});
