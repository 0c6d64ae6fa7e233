import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { completionScript, shells } from "../../../core/commands/completion/completion.ts";
import { completedFlags, completedLine } from "../../../core/commands/completion/words.ts";
import { helpText } from "../../../core/commands/help.ts";
import { commands } from "../../../core/commands/table.ts";

Deno.test("every flag of the help is in every script, and no other", () => {
  const shown = [...helpText(commands, modes).matchAll(/^ {2}(?:-\w, )?(--?[\w-]+)(?: |\[|$)/gm)].map((
    [, name],
  ) => name);
  assert(shown.length > 50);
  assert.deepEqual(completedFlags(modes).map(({ name }) => name), shown);
  for (const shell of shells) {
    const script = completionScript(shell, commands, modes) ?? "";
    for (const name of shown) {
      const written = shell !== "fish" ? name : name?.replace(/^--/, "-l ").replace(/^-v$/, "-s v");
      assert.ok(
        [" ", "'", "'*", ")"].some((before) => script.includes(before + written)),
        `${shell} lacks ${name}`,
      );
    }
  }
});

Deno.test("every command is in every script, with its own flags and the values of its argument", () => {
  const line = completedLine(commands, modes);
  for (const shell of shells) {
    const script = completionScript(shell, commands, modes) ?? "";
    for (const { name, choices, flags } of line.commands) {
      for (const word of [name, ...choices]) {
        assert.match(script, new RegExp(`\\b${word}\\b`), `${shell}: ${word}`);
      }
      for (const flag of flags) {
        const written = shell === "fish" ? flag.name.replace(/^--/, "-l ") : flag.name;
        assert(script.includes(written), `${shell}: ${name} ${flag.name}`);
      }
    }
  }
});

Deno.test("a summary is one sentence", () => {
  const { commands: ofCommands, flags } = completedLine(commands, modes);
  for (const { name, summary } of [...flags, ...ofCommands, ...ofCommands.flatMap(({ flags }) => flags)]) {
    assert.match(summary, /^\S.*[^.]$/, name);
    assert.doesNotMatch(summary, /\. /, name);
  }
});

Deno.test("values come from the table of flags", () => {
  const offers = (name: string) => completedFlags(modes).find((flag) => flag.name === name)?.offers;
  assert.deepEqual(offers("--proxy-mode"), [...modes.map(({ name }) => name), "auto"]);
  assert.equal(offers("--config"), "file");
  assert.equal(offers("--manifests"), "directory");
  assert.deepEqual(offers("--cluster-cidr"), []);
});

Deno.test("an unknown shell has no script", () => {
  for (const shell of ["tcsh", "", "toString"]) {
    assert.equal(completionScript(shell, commands, modes), undefined);
  }
});
