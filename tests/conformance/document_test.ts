import assert from "node:assert/strict";
import { type Difference, differences } from "./page/differences.ts";
import { documentFile, problems, render, scenarioCell } from "./page/document.ts";
import type { RecordedRun, Recording } from "./page/recording.ts";
import { readScenarios, type ScenarioFile } from "./format/scenario_files.ts";

Deno.test("docs/conformance.md lists exactly the existing scenarios, with their current names", () => {
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

Deno.test("every difference names an existing scenario, at most once per subject", () => {
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
  modes: ["nftables", "iptables", "ipvs", "ebpf", "userspace"],
  flags: [],
  steps: [],
};
const difference: Difference = { scenario: "web", subject: "kube-proxy iptables", actual: "x", reason: "y" };
const passed: RecordedRun = { scenario: "web", label: "IPv4" };
const failed: RecordedRun = { scenario: "web", label: "IPv6", complaint: "pod-a: expected an answer" };

function recordingsOf(...runs: RecordedRun[]): Recording[] {
  return [{ subject: "kube-proxy iptables", versions: {}, seconds: 1, runs }];
}

Deno.test("every failure needs a difference, every difference a failure, and every scenario a recording", () => {
  assert.deepEqual(problems([scenario], recordingsOf(passed), []), []);
  assert.deepEqual(problems([scenario], recordingsOf(passed, failed), [difference]), []);
  assert.match(
    problems([scenario], recordingsOf(passed, failed), [])[0]!,
    /web \(IPv6\) fails.*has no entry for it/,
  );
  assert.match(
    problems([scenario], recordingsOf(passed), [difference])[0]!,
    /web passes, but differences\.ts has an entry/,
  );
  assert.deepEqual(problems([scenario], recordingsOf(passed), [{ ...difference, isFlaky: true }]), []);
  assert.match(problems([scenario], recordingsOf(), [])[0]!, /was not recorded/);
});

Deno.test("the table shows in which families a scenario fails, and links the reason", () => {
  const [line] = /^\| \[web\].*$/m.exec(render([scenario], recordingsOf(passed, failed), [difference])) ?? [];
  assert.equal(
    line,
    `| ${scenarioCell("web", "web works")} | yes | not in IPv6 [1](#d1) | yes | yes | yes | yes | yes |`,
  );
});

Deno.test("a scenario for one mode needs no recording for the other modes and has no outcome there", () => {
  const ipvsOnly = { ...scenario, modes: ["ipvs"] };
  assert.deepEqual(problems([ipvsOnly], recordingsOf(), []), []);
  const [line] = /^\| \[web\].*$/m.exec(render([ipvsOnly], recordingsOf(), [])) ?? [];
  assert.equal(line, `| ${scenarioCell("web", "web works")} | – | – | – | – | yes | – | – |`);
});
