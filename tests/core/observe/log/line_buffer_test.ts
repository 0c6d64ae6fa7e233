import assert from "node:assert/strict";
import { countLines, LineBuffer } from "../../../../core/observe/log/line_buffer.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("lines leave in the order in which they came, whole, and as many as fit", () => {
  const buffer = new LineBuffer(1000);
  for (const line of ["one\n", "zwölf\n", "three\n"]) buffer.add(line);
  assert.equal(buffer.length, 17);
  assert.equal(text(buffer.take(12)), "one\nzwölf\n");
  assert.equal(text(buffer.take(3)), "three\n", "at least one line");
  assert.equal(buffer.length, 0);
});

Deno.test("what does not fit is refused as a whole, and fits again later", () => {
  const buffer = new LineBuffer(10);
  assert.equal(buffer.add("12345\n"), 6);
  assert.equal(buffer.add("ööö\n"), 0);
  assert.equal(buffer.add("öö\n"), 0);
  assert.equal(buffer.add("ö\n"), 3);
  assert.equal(text(buffer.take(6)), "12345\n");
  assert.equal(buffer.add("öö\n"), 5);
  assert.equal(text(buffer.take(100)), "ö\nöö\n");
});

Deno.test("any sequence of additions and removals keeps all lines in order", () => {
  const buffer = new LineBuffer(100_000);
  let [added, taken] = ["", ""];
  let seed = 7;
  for (let index = 0; index < 5000; index++) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    const line = `${index} ${"ä€😀x".repeat(seed % 40)}\n`;
    if (buffer.add(line) > 0) added += line;
    if (seed % 7 === 0) taken += text(buffer.take(seed % 5000 + 1));
  }
  while (buffer.length > 0) taken += text(buffer.take(4096));
  assert.ok(taken === added);
});

Deno.test("lines are counted by their ends", () => {
  assert.equal(countLines(new TextEncoder().encode("one\ntwo\nthr")), 2);
  assert.equal(countLines(new Uint8Array()), 0);
});
