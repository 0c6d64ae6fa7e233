import assert from "node:assert/strict";
import { join } from "node:path/posix";

const root = new URL("../../", import.meta.url).pathname;
const MAX_LINES = 400;

function* testSources(folder = "tests"): Generator<{ readonly path: string; readonly text: string }> {
  for (const entry of Deno.readDirSync(join(root, folder))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* testSources(path);
    else if (path.endsWith(".ts")) yield { path, text: Deno.readTextFileSync(join(root, path)) };
  }
}

Deno.test("tests are defined only in files named _test.ts", () => {
  for (const { path, text } of testSources()) {
    if (!path.endsWith("_test.ts")) assert.doesNotMatch(text, /\bDeno\.test\(/, path);
  }
});

Deno.test("a test file has one topic: at most 400 lines", () => {
  for (const { path, text } of testSources()) {
    if (longFiles.has(path)) continue;
    assert(text.split("\n").length - 1 <= MAX_LINES, path);
  }
});

const longFiles: ReadonlySet<string> = new Set([
  "tests/integration/ebpf/packets_test.ts",
]);

Deno.test("tests that need a network namespace of their own are run by a test in tests/integration", () => {
  const callers = [...testSources("tests/integration")].map(({ text }) => text).join("\n");
  for (const { path } of testSources("tests/namespaced")) {
    const [, name] = /^tests\/namespaced\/(.+)_test\.ts$/.exec(path) ?? [];
    if (name === undefined) continue;
    const [, file] = name.split("/");
    assert(callers.includes(`"${name}"`) || callers.includes(`"${file}"`), `nothing runs ${path}`);
  }
});
