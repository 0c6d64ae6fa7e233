import assert from "node:assert/strict";
import { KeptClient } from "../../backends/kept_client.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { FakeTransport } from "../ffi/netlink/fake_transport.ts";

class Kept {
  readonly opened: FakeTransport[] = [];
  readonly client = new KeptClient(() => {
    const transport = new FakeTransport();
    this.opened.push(transport);
    return NetlinkClient.open(NETLINK_NETFILTER, () => transport);
  });

  get closed(): readonly boolean[] {
    return this.opened.map(({ closed }) => closed);
  }
}

Deno.test("the client is opened when it is needed, and stays open for the next work", async () => {
  const kept = new Kept();
  assert.deepEqual(kept.closed, []);
  const clients = new Set<NetlinkClient>();
  for (let i = 0; i < 3; i++) await kept.client.use((client) => Promise.resolve(clients.add(client)));
  assert.equal(clients.size, 1);
  assert.deepEqual(kept.closed, [false]);
});

Deno.test("work that fails closes the client, because its answer may not have been read, and others go on", async () => {
  const kept = new Kept();
  const works = [
    kept.client.use(() => Promise.reject(new Error("ENOBUFS"))),
    kept.client.use(() => Promise.resolve("done")),
  ];
  const [failed, done] = await Promise.allSettled(works);
  assert.equal(failed?.status, "rejected");
  assert.deepEqual(done, { status: "fulfilled", value: "done" });
  assert.deepEqual(kept.closed, [true, false]);
});

Deno.test("one work at a time; a disposed client is closed after the last one", async () => {
  const kept = new Kept();
  const steps: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = kept.client.use(async () => {
    await gate.promise;
    steps.push("first");
  });
  const second = kept.client.use(() => Promise.resolve(steps.push("second")));
  kept.client[Symbol.dispose]();
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(steps, ["first", "second"]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(kept.closed, [true]);
});
