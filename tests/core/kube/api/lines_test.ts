import { deepEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { LineSplitter } from "../../../../core/kube/api/lines.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function split(...chunks: Uint8Array[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  return lines;
}

Deno.test("lines do not depend on where the stream is split", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", "") || "x")),
      fc.array(fc.nat(40)),
      (lines, cuts) => {
        const bytes = encode(lines.map((line) => `${line}\n`).join(""));
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const cut of cuts) chunks.push(bytes.slice(at, at += cut));
        deepEqual(split(...chunks, bytes.slice(at)), lines.map((line) => line.replace(/^\ufeff/, "")));
      },
    ),
  );
});

Deno.test("an incomplete line is held back, and empty lines are skipped", () => {
  deepEqual(split(encode("a\n\nb\nrest")), ["a", "b"]);
});

Deno.test("a chunk may be overwritten after the call", () => {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  const chunk = encode("one\ntw");
  splitter.push(chunk);
  chunk.fill(0);
  splitter.push(encode("o\n"));
  deepEqual(lines, ["one", "two"]);
});

Deno.test("a line that never ends is rejected before it fills the memory", () => {
  const splitter = new LineSplitter(() => {}, 1000);
  splitter.push(new Uint8Array(1000));
  throws(() => splitter.push(new Uint8Array(1)), /a line of more than 1000 bytes/);
});

Deno.test("an exception in the line callback reaches the caller", () => {
  let calls = 0;
  const splitter = new LineSplitter(() => {
    calls++;
    throw new Error("enough");
  });
  throws(() => splitter.push(encode("a\nb\n")), /enough/);
  equal(calls, 1);
});
