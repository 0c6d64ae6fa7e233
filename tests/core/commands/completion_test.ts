import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { completionScript } from "../../../core/commands/completion/completion.ts";
import { completedFlags, shells } from "../../../core/commands/completion/words.ts";
import { helpText } from "../../../core/commands/help.ts";

Deno.test("every flag of the help is in every script, and no other", () => {
  const shown = [...helpText(modes).matchAll(/^ {2}(?:-\w, )?(--?[\w-]+)(?: |\[|$)/gm)].map(([, name]) =>
    name
  );
  assert.ok(shown.length > 50);
  assert.deepEqual(completedFlags(modes).map(({ name }) => name), shown);
  for (const shell of shells) {
    const script = completionScript(shell, modes) ?? "";
    for (const name of shown) {
      const written = shell !== "fish" ? name : name?.replace(/^--/, "-l ").replace(/^-v$/, "-s v");
      assert.ok(
        [" ", "'", "'*", "{"].some((before) => script.includes(before + written)),
        `${shell} lacks ${name}`,
      );
    }
  }
});

Deno.test("a summary is one sentence", () => {
  for (const { name, summary } of completedFlags(modes)) {
    assert.match(summary, /^\S.*[^.]$/, name);
    assert.doesNotMatch(summary, /\. /, name);
  }
});

Deno.test("values come from the table of flags", () => {
  const offers = (name: string) => completedFlags(modes).find((flag) => flag.name === name)?.offers;
  assert.deepEqual(offers("--proxy-mode"), modes.map(({ name }) => name));
  assert.equal(offers("--config"), "file");
  assert.equal(offers("--manifests"), "directory");
  assert.deepEqual(offers("--cluster-cidr"), []);
});

Deno.test("an unknown shell has no script", () => {
  for (const shell of ["tcsh", "", "toString"]) assert.equal(completionScript(shell, modes), undefined);
});
