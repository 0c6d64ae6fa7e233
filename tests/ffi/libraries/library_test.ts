import assert from "node:assert/strict";
import { copyOf, cString, PointerSlot, textAt } from "../../../ffi/memory.ts";
import { embeddedFile, openLibrary } from "../../../ffi/libraries/library.ts";

Deno.test("a missing library is one error that names it, its package and both places", () => {
  const library = { soname: "libnowhere.so.7", debianPackage: "libnowhere7" };
  assert.throws(
    () => openLibrary(library, {}),
    /^LibraryError: libnowhere\.so\.7: cannot be loaded \(not embedded in this binary; .*libnowhere.*\)\. Install it: apt-get install libnowhere7$/,
  );
});

Deno.test("a program that runs from its sources has no embedded files", () => {
  assert.equal(embeddedFile("libnl-3.so.200"), undefined);
});

// Libraries stay open for the life of the process.
Deno.test("a library opens by its system name", { sanitizeResources: false }, () => {
  const symbols = openLibrary(
    { soname: "libc.so.6", debianPackage: "libc6" },
    { getpid: { parameters: [], result: "i32" } } as const,
  );
  assert.equal(symbols.getpid(), Deno.pid);
});

Deno.test("a library stays loaded for a call of a worker that has ended", async () => {
  const script = new URL("library_in_use.ts", import.meta.url).pathname;
  const { code, signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", "--quiet", script],
    stdin: "null",
  }).output();
  assert.deepEqual([code, signal], [0, null], new TextDecoder().decode(stderr));
});

Deno.test("a call of a worker that has ended writes to no memory of others", async () => {
  const script = new URL("poll_in_use.ts", import.meta.url).pathname;
  const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", "--quiet", script],
    // All threads share one heap, so that the memory is used again.
    env: { GLIBC_TUNABLES: "glibc.malloc.arena_max=1" },
    stdin: "null",
  }).output();
  const [changed, problem] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.deepEqual([changed, code, signal], ["0\n", 0, null], problem);
});

Deno.test("text and bytes are converted to C memory and back", () => {
  const text = cString("né");
  assert.deepEqual(text, new Uint8Array([0x6e, 0xc3, 0xa9, 0]));
  const pointer = Deno.UnsafePointer.of(text);
  assert.ok(pointer);
  assert.equal(textAt(pointer), "né");
  assert.equal(textAt(null), "");

  const copy = copyOf(pointer, 3);
  text[0] = 0x78;
  assert.deepEqual(copy, new Uint8Array([0x6e, 0xc3, 0xa9]));
});

Deno.test("a slot contains the pointer that C stored, or NULL", () => {
  const slot = new PointerSlot();
  assert.equal(slot.pointer, null);
  slot.argument[0] = 4096n;
  assert.equal(Deno.UnsafePointer.value(slot.pointer), 4096n);
});
