import assert from "node:assert/strict";
import { RuleBatch } from "../../../backends/iptables/sync/batch.ts";
import { BatchStream } from "../../../backends/iptables/sync/batch.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";

Deno.test("a writer that fails waits for the batch that is in flight", async () => {
  const commit = Promise.withResolvers<void>();
  let hasEnded = false;
  const writing = (async () => {
    await using stream = new BatchStream(
      (bytes) => new RuleBatch(new MessageWriter(bytes), 1),
      () => commit.promise,
    );
    const { batch } = stream;
    while (stream.batch === batch) {
      for (let count = 0; count < 1000; count++) {
        batch.addChain(tableFamilyOf("IPv4"), "nat", "C".repeat(1000));
      }
      await stream.allowSplit();
    }
    throw new Error("the writer failed");
  })().finally(() => hasEnded = true);
  const failed = assert.rejects(writing, /the writer failed/);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(hasEnded, false);
  commit.reject(new Error("rejected"));
  await failed;
});
