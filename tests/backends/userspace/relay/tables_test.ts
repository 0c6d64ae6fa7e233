import assert from "node:assert/strict";
import { AffinityTable } from "../../../../backends/userspace/relay/affinity_table.ts";
import { Expiring, ExpiryList } from "../../../../backends/userspace/relay/expiry_list.ts";
import { RateLimitedWarnings } from "../../../../backends/userspace/relay/rate_limited_warnings.ts";

Deno.test("the affinity table forgets the client that was away for the longest time", () => {
  const table = new AffinityTable(2);
  table.set("a", "x", 0);
  table.set("b", "y", 1);
  table.set("a", "x", 2);
  table.set("c", "z", 3);
  assert.equal(table.size, 2);
  assert.deepEqual(["a", "b", "c"].map((client) => table.get(client, 10, 4)), ["x", undefined, "z"]);
});

Deno.test("entries expire in the order of their renewal", () => {
  const list = new ExpiryList<Expiring>(100);
  const [a, b, c] = [new Expiring(), new Expiring(), new Expiring()];
  assert.equal(list.nextDeadline, Infinity);
  list.renew(a, 0);
  list.renew(b, 10);
  list.renew(c, 20);
  list.renew(a, 30);
  list.remove(c);
  list.remove(c);
  assert.equal(list.first, b);
  assert.equal(list.nextDeadline, 110);
  assert.equal(list.takeExpired(109), undefined);
  assert.equal(list.takeExpired(110), b);
  assert.equal(list.takeExpired(1000), a);
  assert.equal(list.takeExpired(1000), undefined);
  assert.equal(list.nextDeadline, Infinity);
});

Deno.test("a warning about the same subject is not repeated at once, and there is a limit for all", () => {
  const messages: string[] = [];
  const warnings = new RateLimitedWarnings((message) => messages.push(message));
  for (const now of [0, 1, 9999, 10_000]) warnings.warn("too many", {}, now);
  warnings.warn("another", {}, 10_001);
  assert.deepEqual(messages, ["too many", "too many", "another"]);
  for (let subject = 0; subject < 1000; subject++) warnings.warn("dead", {}, 10_002, `${subject}`);
  assert.equal(messages.length, 101);
  warnings.warn("dead", {}, 30_000, "0");
  assert.equal(messages.length, 102);
});
