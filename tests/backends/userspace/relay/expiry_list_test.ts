import assert from "node:assert/strict";
import { Expiring, ExpiryList } from "../../../../backends/userspace/relay/expiry_list.ts";

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
