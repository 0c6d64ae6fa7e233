import assert from "node:assert/strict";

const root = new URL("../../", import.meta.url);

/** Paths of the pictures that a document shows, relative to the root. */
function shownBy(document: string): string[] {
  const text = Deno.readTextFileSync(new URL(document, root));
  const sources = text.matchAll(/!\[[^\]]*\]\(([^)]+)\)|<img src="([^"]+)"/g);
  return [...sources].map(([, markdown, html]) => new URL(markdown ?? html ?? "", new URL(document, root)))
    .filter(({ protocol }) => protocol === "file:")
    .map(({ pathname }) => pathname.slice(root.pathname.length));
}

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].filter(({ isFile }) => isFile)
    .map(({ name }) => `${folder}${name}`);
}

Deno.test("every picture of docs/images is shown by a document, and every picture that is shown exists", () => {
  const documents = ["README.md", ...filesIn("docs/").filter((path) => path.endsWith(".md"))];
  assert.deepEqual([...new Set(documents.flatMap(shownBy))].sort(), filesIn("docs/images/").sort());
});
