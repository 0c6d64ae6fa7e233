import assert from "node:assert/strict";
import { libc } from "../../../ffi/libraries/libc.ts";
import { hasInterface } from "../../../ffi/system/network_interface.ts";

// Stays open, so it is opened before the test.
libc();

Deno.test("an interface is found by its index", () => {
  assert.equal(hasInterface(1), true, "lo is the first interface of every network namespace");
  assert.equal(hasInterface(2 ** 31 - 1), false);
});
