import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { completedLine } from "../../../core/commands/completion/words.ts";
import { commands } from "../../../core/commands/table.ts";

const page = await Deno.readTextFile(new URL("../../../docs/commands.md", import.meta.url));

/** The sections of the page by their titles, in their order. */
const sections = new Map(
  page.split(/^## /m).slice(1).map((section) => [section.slice(0, section.indexOf("\n")), section] as const),
);

Deno.test("docs/commands.md has a section for every command, in the order of the help, and no other", () => {
  assert.deepEqual([...sections.keys()], commands.map(({ name }) => `proxy ${name}`));
});

Deno.test("docs/commands.md has every flag that only one command has, with its values, and every exit code", () => {
  for (const { name, flags } of completedLine(commands, modes).commands) {
    const section = sections.get(`proxy ${name}`) ?? "";
    const row = (start: string) => section.split("\n").find((line) => line.startsWith(`| ${start} |`));
    for (const { name, short, offers } of flags) {
      const shown = row(
        [short, name].filter((one) => one !== undefined).map((one) => `\`${one}\``).join(", "),
      );
      assert(shown !== undefined, name);
      if (Array.isArray(offers)) {
        for (const value of offers) assert(shown.includes(`\`${value}\``), value);
      }
    }
    const { exitCodes = {} } = commands.find((command) => command.name === name) ?? {};
    for (const [code, meaning] of Object.entries(exitCodes)) {
      assert.equal(row(code), `| ${code} | ${meaning} |`, name);
    }
  }
});
