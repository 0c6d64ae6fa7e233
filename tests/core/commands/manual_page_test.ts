import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { completedFlags, completedLine } from "../../../core/commands/completion/words.ts";
import { commands } from "../../../core/commands/table.ts";
import { manualPage } from "../../../scripts/deb/manual.ts";

Deno.test("the manual page has every command and every flag, and nothing that roff takes for a request", () => {
  const lines = manualPage().split("\n");
  const bold = new Set(lines.flatMap((line) => [...line.matchAll(/\\fB(.*?)\\fR/g)].map(([, name]) => name)));
  const ofCommands = completedLine(commands, modes).commands.flatMap(({ flags }) => flags);
  assert(ofCommands.length > 0);
  for (const { name } of [...completedFlags(modes), ...ofCommands]) {
    assert(bold.has(name.replaceAll("-", "\\-")), name);
  }
  for (const { name, exitCodes } of commands) {
    assert(lines.includes(`.B ${name}`), name);
    for (const meaning of Object.values(exitCodes)) {
      assert(lines.some((line) => line.includes(meaning.replaceAll("-", "\\-"))), meaning);
    }
  }
  const requests = /^\.(TH|SH|SS|TP|B|BR|br|RS|RE)\b/;
  for (const line of lines) if (/^[.']/.test(line)) assert.match(line, requests);
});
