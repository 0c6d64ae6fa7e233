import assert from "node:assert/strict";
import { nearest } from "../../../core/config/flags/suggest.ts";

/** Optimal string alignment by its definition. */
function distance(a: string, b: string): number {
  const table = Array.from(
    { length: a.length + 1 },
    (_, i) => Array.from({ length: b.length + 1 }, (_, j) => i === 0 ? j : j === 0 ? i : 0),
  );
  const at = (i: number, j: number) => table[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      (table[i] as number[])[j] = Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swaps ? at(i - 2, j - 2) + 1 : Infinity,
      );
    }
  }
  return at(a.length, b.length);
}

/** All words of the letters a and b with 4 to 7 letters. */
function words(): readonly string[] {
  const found: string[] = [];
  for (let length = 4; length <= 7; length++) {
    for (let bits = 0; bits < 1 << length; bits++) {
      found.push([...bits.toString(2).padStart(length, "0")].map((bit) => bit === "0" ? "a" : "b").join(""));
    }
  }
  return found;
}

Deno.test("a name is suggested if at most three letters and half of the word are wrong", () => {
  const all = words();
  for (const typed of all) {
    const limit = Math.min(3, Math.floor(typed.length / 2));
    for (const name of all) {
      const expected = distance(typed, name) <= limit ? name : undefined;
      assert.equal(nearest(typed, [name]), expected, `${typed} and ${name}`);
    }
  }
});

Deno.test("the first of the most similar names is suggested", () => {
  assert.equal(
    nearest("default/wbe", ["default/webs", "default/wob", "default/web", "default/wbx"]),
    "default/web",
  );
  assert.equal(nearest("default/web", []), undefined);
});

Deno.test("long names that differ cost little", () => {
  const long = (first: string, index: number) => `${first.repeat(63)}/${"a".repeat(250)}${index}`;
  const names = Array.from({ length: 10_000 }, (_, index) => long("e", index));
  const began = performance.now();
  assert.equal(nearest(long("d", 7), names), undefined);
  const ms = performance.now() - began;
  // 50 ms, instead of 40 s for the whole tables.
  assert(ms < 5000, `${ms} ms`);
});
