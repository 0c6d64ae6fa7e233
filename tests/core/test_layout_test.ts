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

const page = Deno.readTextFileSync(join(root, "tests/README.md"));

Deno.test("every path in tests/README.md exists", () => {
  const paths = [...page.matchAll(/`((?:[a-z_]+\/)+[\w.-]+\.(?:ts|yaml))`/g)].map(([, path]) => path ?? "");
  assert(paths.length > 50);
  for (const path of paths) {
    const inTests = path.startsWith("scenarios/") ? `tests/conformance/${path}` : `tests/${path}`;
    const exists = [path, inTests].some((candidate) => isFile(join(root, candidate)));
    assert(exists, `${path} does not exist`);
  }
});

Deno.test("every section of behaviour.md with rules has a row in tests/README.md", () => {
  const behaviour = Deno.readTextFileSync(join(root, "docs/behaviour.md"));
  const headings = [...behaviour.matchAll(/^##+ (\d+(?:\.\d+)?)\.? /gm)].map(([, section]) => section ?? "");
  const leaves = headings.filter((section) => !headings.some((other) => other.startsWith(`${section}.`)));
  assert(leaves.length > 30);
  for (const section of leaves) assert(page.includes(`§${section} `), `§${section} has no row`);
});

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
