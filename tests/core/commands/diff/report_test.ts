import assert from "node:assert/strict";
import { diffReport, diffText } from "../../../../core/commands/diff/report.ts";

const nothing = { found: "ours", added: [], changed: [], removed: [] } as const;

Deno.test("nothing changes only if no list has a line, and no other mode has objects", () => {
  assert.equal(diffReport("a", nothing, [{ mode: "b", removed: [] }]).isEqual, true);
  for (const kind of ["added", "changed", "removed"]) {
    assert.equal(diffReport("a", { ...nothing, [kind]: ["x"] }, []).isEqual, false, kind);
  }
  assert.equal(diffReport("a", nothing, [{ mode: "b", removed: ["table t"] }]).isEqual, false);
});

Deno.test("each line has the mark of its kind, and other modes come last", () => {
  const comparison = {
    found: "foreign",
    added: ["one"],
    changed: ["two"],
    removed: ["three", "7 more"],
  } as const;
  const report = diffReport("a", comparison, [{ mode: "b", removed: ["table t"] }, {
    mode: "c",
    removed: [],
  }]);
  const lines = [
    "Found the rules of another program, such as kube-proxy.",
    "+ one",
    "~ two",
    "- three",
    "- 7 more",
    "Once that is in force, a start removes what mode b has:",
    "- table t",
    "A start in mode a would change this kernel.",
  ];
  assert.equal(diffText(report, false), lines.join("\n") + "\n");
  assert(diffText(report, true).includes("\n\x1b[32m+ one\x1b[0m\n"));
});

Deno.test("names of the kernel cannot control the terminal", () => {
  const text = diffText(diffReport("a", { ...nothing, removed: ["chain \x1b[2J"] }, []), false);
  assert.match(text, /^- chain \\u001b\[2J$/m);
});
