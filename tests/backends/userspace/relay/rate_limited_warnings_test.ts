import assert from "node:assert/strict";
import { RateLimitedWarnings } from "../../../../backends/userspace/relay/rate_limited_warnings.ts";

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
