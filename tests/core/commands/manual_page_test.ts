import assert from "node:assert/strict";
import { modes } from "../../../backends/registry.ts";
import { commands, completedFlags } from "../../../core/commands/completion/words.ts";
import { manualPage } from "../../../scripts/deb/manual.ts";

Deno.test("the manual page has every command and every flag, and nothing that roff takes for a request", () => {
  const lines = manualPage().split("\n");
  const bold = new Set(lines.flatMap((line) => [...line.matchAll(/\\fB(.*?)\\fR/g)].map(([, name]) => name)));
  for (const { name } of completedFlags(modes)) assert(bold.has(name.replaceAll("-", "\\-")), name);
  for (const name of Object.keys(commands)) assert(lines.includes(`.B ${name}`), name);
  const requests = /^\.(TH|SH|SS|TP|B|BR|br)\b/;
  for (const line of lines) if (/^[.']/.test(line)) assert.match(line, requests);
});
