import assert from "node:assert/strict";
import { join } from "node:path/posix";

const root = new URL("../../", import.meta.url).pathname;

/** Words that start a comment without naming its subject (CONTRIBUTING.md, style). */
const SUBJECTLESS = /(?:\/\*\*?|^\s*\/\/)\s*(?:\n\s*\*\s*)?(?:Of|Those|The same|As|By|What|Who|Whose)\s/m;

function* sources(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(join(root, folder))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* sources(path);
    else if (/\.(?:ts|c|h)$/.test(path)) yield path;
  }
}

Deno.test("a comment starts with a noun or a verb that names its subject", () => {
  assert.match("/** Of the whole table. */", SUBJECTLESS);
  assert.match("/**\n * What is left.\n */", SUBJECTLESS);
  const found: string[] = [];
  for (
    const path of ["core", "backends", "ffi", "tests", "scripts"].flatMap((folder) => [...sources(folder)])
  ) {
    if (path === "tests/core/language_test.ts") continue;
    const match = SUBJECTLESS.exec(Deno.readTextFileSync(join(root, path)));
    if (match !== null) found.push(`${path}: ${match[0].trim().replaceAll(/\s+/g, " ")}`);
  }
  assert.deepEqual(found, []);
});
