import assert from "node:assert/strict";
import { errnoName, errnoOf, errnoText } from "../../ffi/errno.ts";
import { KernelError, libnlError } from "../../ffi/errors.ts";

Deno.test("errno names, numbers and texts belong together", () => {
  assert.equal(errnoName(17), "EEXIST");
  assert.equal(errnoOf("EEXIST"), 17);
  assert.equal(errnoText(17), "File exists");
  assert.equal(errnoName(105), "ENOBUFS");
  assert.equal(errnoName(133), "EHWPOISON");
  assert.equal(errnoName(4711), "errno 4711");
  assert.equal(errnoText(4711), "unknown error");
  assert.throws(() => errnoOf("ENOSUCH"), /not the name of an errno/);
});

Deno.test("an error contains the operation, the errno, the kernel's text and the advice", () => {
  const cause = new Error("below");
  const error = new KernelError("replace chain X", 22, { extack: "bad hook", advice: "Use another", cause });
  assert.equal(error.message, "replace chain X: EINVAL (Invalid argument: bad hook). Use another");
  assert.equal(error.extack, "bad hook");
  assert.equal(error.cause, cause);
  assert.equal(error.name, "KernelError");
});

// Libraries stay open for the life of the process.
const keepsLibraries = { sanitizeResources: false };

Deno.test("codes of libnl become errnos, with the text of libnl", keepsLibraries, () => {
  const exists = libnlError("join a group", -6);
  assert.equal(exists.errnoName, "EEXIST");
  assert.match(exists.message, /^join a group: EEXIST \(File exists: libnl: Object exists\)$/);
  assert.equal(libnlError("send", -1).message, "send: EIO (Input/output error: libnl: Unspecific failure)");
});
