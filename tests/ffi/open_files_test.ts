import assert from "node:assert/strict";
import { raiseOpenFileLimit } from "../../ffi/open_files.ts";

Deno.test({
  name: "as many files may be open as the hard limit allows",
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
