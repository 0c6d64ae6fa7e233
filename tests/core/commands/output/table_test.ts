import assert from "node:assert/strict";
import { renderTable } from "../../../../core/commands/output/table.ts";

const plain = { hasColours: false, indent: 0 };

Deno.test("columns are as wide as their widest cell, and lines have no trailing spaces", () => {
  const rows = [["NAME", "STATE", ""], ["a", { text: "ok", colour: "green" }, "long detail"], [
    "abcdef",
    "",
    "",
  ]] as const;
  assert.equal(renderTable(rows, plain), "NAME    STATE\na       ok     long detail\nabcdef\n");
  assert.equal(renderTable([["a", "b"]], { ...plain, indent: 2 }), "  a  b\n");
  assert.equal(renderTable([], plain), "");
});

Deno.test("colours do not count as width, and are left out where they are not shown", () => {
  const rows = [[{ text: "ok", colour: "green" }, "x"], [{ text: "MISSING", colour: "red" }, "y"]] as const;
  assert.equal(
    renderTable(rows, { hasColours: true, indent: 0 }),
    "\x1b[32mok\x1b[0m       x\n\x1b[31mMISSING\x1b[0m  y\n",
  );
  assert(!renderTable(rows, plain).includes("\x1b"));
});

Deno.test("names cannot control the terminal", () => {
  const hostile = "a\x1b[2J\r\nb\u009b31m\u202ec";
  const shown = renderTable([[{ text: hostile, colour: "red" }, hostile]], plain);
  assert.equal(shown.split("\n").length, 2);
  const escaped = "a\\u001b[2J\\u000d\\u000ab\\u009b31m\\u202ec";
  assert.equal(shown, `${escaped}  ${escaped}\n`);
});
