import assert from "node:assert/strict";
import { compare, difference } from "../../backends/difference.ts";

interface Named {
  readonly name: string;
  readonly value?: number;
}

const byName = ({ name }: Named) => name;
const sameValue = (a: Named, b: Named) => a.value === b.value;

Deno.test("a difference has what is added, changed and removed, and nothing that is equal", () => {
  const desired = [{ name: "new" }, { name: "kept", value: 1 }, { name: "edited", value: 2 }];
  const actual = [{ name: "edited", value: 9 }, { name: "old" }, { name: "kept", value: 1 }];
  assert.deepEqual(difference(desired, actual, byName, sameValue), {
    added: [{ name: "new" }],
    changed: [{ desired: { name: "edited", value: 2 }, actual: { name: "edited", value: 9 } }],
    removed: [{ name: "old" }],
  });
});

Deno.test("without a comparison, things of one key are equal", () => {
  const { changed } = difference([{ name: "a", value: 1 }], [{ name: "a", value: 2 }], byName);
  assert.deepEqual(changed, []);
});

Deno.test("the order of the desired things is kept, and removals come last", () => {
  const steps: string[] = [];
  compare(["b", "new", "a"], ["a", "old", "b"], (name) => name, {
    added: (name) => steps.push(`add ${name}`),
    matched: (name) => steps.push(`keep ${name}`),
    removed: (name) => steps.push(`remove ${name}`),
  });
  assert.deepEqual(steps, ["keep b", "add new", "keep a", "remove old"]);
});

Deno.test("no keys are made while nothing actual is left to match", () => {
  const keys: string[] = [];
  const keyOf = (name: string) => {
    keys.push(name);
    return name;
  };
  difference(["a", "b", "c"], [], keyOf);
  assert.deepEqual(keys, []);
  difference(["a", "b", "c"], ["a"], keyOf);
  assert.deepEqual(keys, ["a", "a"]);
});
