import assert from "node:assert/strict";
import { raiseOpenFileLimit } from "../../ffi/process.ts";

Deno.test({
  name: "the limit of open files is raised to the hard limit",
  // libc stays open for the life of the process.
  sanitizeResources: false,
  fn() {
    raiseOpenFileLimit();
    const limits = Deno.readTextFileSync("/proc/self/limits");
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
    assert.ok(soft !== undefined);
    assert.equal(soft, hard);
  },
});
