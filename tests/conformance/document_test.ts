import assert from "node:assert/strict";
import { type Difference, differences } from "./differences.ts";
import { documentFile, problems, render, scenarioCell } from "./document.ts";
import type { RecordedRun, Recording } from "./recording.ts";
import { readScenarios, type ScenarioFile } from "./scenario_files.ts";

Deno.test("docs/conformance.md lists exactly the scenarios that exist, as they are called now", () => {
  const text = Deno.readTextFileSync(documentFile);
  const [, listed = ""] = text.split(/^## Scenarios$/m);
  const cells = [...listed.matchAll(/^\| (\[.*?)(?: \|)/gm)].map(([, cell]) => cell!);
  const expected = readScenarios().map(({ file, name }) => scenarioCell(file, name));
  assert.deepEqual(
    {
      missing: expected.filter((cell) => !cells.includes(cell)),
      gone: cells.filter((cell) => !expected.includes(cell)),
    },
    { missing: [], gone: [] },
    "run scripts/conformance.sh",
  );
});

Deno.test("a difference is about a scenario that exists, and is named once", () => {
  const files = readScenarios().map(({ file }) => file);
  assert.deepEqual(differences.filter(({ scenario }) => !files.includes(scenario)), []);
  const named = differences.map(({ scenario, subject }) => `${subject}: ${scenario}`);
  assert.deepEqual(named, [...new Set(named)]);
});

const scenario: ScenarioFile = {
  file: "web",
  name: "web works",
  why: "",
  families: "both",
  modes: ["nftables", "iptables", "ipvs", "ebpf"],
  flags: [],
  steps: [],
};
const difference: Difference = { scenario: "web", subject: "kube-proxy iptables", instead: "x", why: "y" };
const passed: RecordedRun = { scenario: "web", label: "IPv4" };
const failed: RecordedRun = { scenario: "web", label: "IPv6", complaint: "pod-a: expected an answer" };

function recorded(...runs: RecordedRun[]): Recording[] {
  return [{ subject: "kube-proxy iptables", versions: {}, seconds: 1, runs }];
}

Deno.test("a failure needs a difference, a difference a failure, and a scenario a recording", () => {
  assert.deepEqual(problems([scenario], recorded(passed), []), []);
  assert.deepEqual(problems([scenario], recorded(passed, failed), [difference]), []);
  assert.match(
    problems([scenario], recorded(passed, failed), [])[0]!,
    /web \(IPv6\) fails.*does not say why/,
  );
  assert.match(problems([scenario], recorded(passed), [difference])[0]!, /names web, which passes/);
  assert.deepEqual(problems([scenario], recorded(passed), [{ ...difference, chance: true }]), []);
  assert.match(problems([scenario], recorded(), [])[0]!, /was not recorded/);
});

Deno.test("the table says in which families a scenario fails, and where the reason is", () => {
  const [line] = /^\| \[web\].*$/m.exec(render([scenario], recorded(passed, failed), [difference])) ?? [];
  assert.equal(
    line,
    `| ${scenarioCell("web", "web works")} | yes | not in IPv6 [1](#d1) | yes | yes | yes | yes |`,
  );
});

Deno.test("a scenario about one mode is asked of the others neither a recording nor an outcome", () => {
  const ofOne = { ...scenario, modes: ["ipvs"] };
  assert.deepEqual(problems([ofOne], recorded(), []), []);
  const [line] = /^\| \[web\].*$/m.exec(render([ofOne], recorded(), [])) ?? [];
  assert.equal(line, `| ${scenarioCell("web", "web works")} | – | – | – | – | yes | – |`);
});
