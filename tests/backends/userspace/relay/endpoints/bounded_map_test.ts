import assert from "node:assert/strict";
import { BoundedMap } from "../../../../../backends/userspace/relay/endpoints/bounded_map.ts";

Deno.test("above the limit, the entry that was set the longest time ago gives way", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  assert.deepEqual([...map], [["b", 2], ["a", 3]]);
  map.set("c", 4);
  assert.deepEqual([...map], [["a", 3], ["c", 4]]);
  assert.deepEqual([map.get("a"), map.get("b"), map.size], [3, undefined, 2]);
});

Deno.test("a deleted entry makes room", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.delete("a");
  map.delete("a");
  map.set("c", 3);
  assert.deepEqual([...map], [["b", 2], ["c", 3]]);
});
