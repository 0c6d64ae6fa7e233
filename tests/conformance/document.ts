import { type Difference, differences, modeOf, type SubjectName, subjects } from "./differences.ts";
import { readRecording, type Recording } from "./recording.ts";
import { readScenarios, type ScenarioFile } from "./scenario_files.ts";

/** Writes docs/conformance.md from the recordings; called by scripts/conformance.sh. */
export const documentFile = new URL("../../docs/conformance.md", import.meta.url);

/**
 * What makes a document wrong, in words: scenarios that were not recorded, failures that no difference names, and
 * differences that are none.
 */
export function problems(
  scenarios: readonly ScenarioFile[],
  recordings: readonly Recording[],
  known: readonly Difference[],
): readonly string[] {
  return recordings.flatMap(({ subject, runs }) => {
    const ofSubject = known.filter((difference) => difference.subject === subject);
    return [
      ...scenarios
        .filter(({ file, modes }) =>
          modes.includes(modeOf(subject)) && !runs.some(({ scenario }) => scenario === file)
        )
        .map(({ file }) => `${subject}: ${file} was not recorded: record it again`),
      ...runs
        .filter((run) => run.complaint && !ofSubject.some(({ scenario }) => scenario === run.scenario))
        .map(({ scenario, label, complaint }) =>
          `${subject}: ${scenario} (${label}) fails, and differences.ts does not say why: ${complaint}`
        ),
      ...ofSubject
        .filter(({ scenario, chance }) =>
          !chance && !runs.some((run) => run.scenario === scenario && run.complaint)
        )
        .map(({ scenario }) => `${subject}: differences.ts names ${scenario}, which passes`),
    ];
  });
}

export function render(
  scenarios: readonly ScenarioFile[],
  recordings: readonly Recording[],
  known: readonly Difference[],
): string {
  const runsOf = (subject: SubjectName) =>
    recordings.find((recording) => recording.subject === subject)?.runs ?? [];
  const cell = ({ file, modes }: ScenarioFile, subject: SubjectName) => {
    if (!modes.includes(modeOf(subject))) return "–";
    const runs = runsOf(subject).filter(({ scenario }) => scenario === file);
    const failed = runs.filter(({ complaint }) => complaint);
    const number = known.findIndex((known) => known.subject === subject && known.scenario === file) + 1;
    if (number === 0) return "yes";
    const reference = `[${number}](#d${number})`;
    if (failed.length === 0) return `by chance ${reference}`;
    return failed.length === runs.length
      ? `no ${reference}`
      : `not in ${failed.map(({ label }) => label).join(", ")} ${reference}`;
  };
  const programs = recordings.map(({ subject, versions, seconds, runs }) => {
    const failed = runs.filter(({ complaint }) => complaint).length;
    const { program = "", kernel = "", nft = "", iptables = "" } = versions;
    return row([subject, program, kernel, nft, iptables, runs.length, runs.length - failed, `${seconds} s`]);
  });
  return [
    "# Conformance",
    "",
    "Written by `scripts/conformance.sh`: do not edit.",
    "",
    "Every scenario of [tests/conformance](../tests/conformance/README.md), run by real connections between " +
    "network namespaces against the real kube-proxy and against this proxy. A scenario runs once per IP " +
    "family, unless it is about one of them or about both together. It states what ought to happen: where " +
    "kube-proxy does something else, the [differences](#differences) say what, and why the scenario is right.",
    "",
    "| | |",
    "|---|---|",
    "| yes | every run does what the scenario says |",
    "| no | it does something else, in both families |",
    "| not in IPv4 (IPv6) | it does something else in that family |",
    "| by chance | it does so in this recording, and may not in the next |",
    "| – | it is about another mode |",
    "| [1](#d1) | number in the table of differences |",
    "",
    "To write this page again, as root, with what `scripts/peers.sh` builds: `scripts/conformance.sh` records all " +
    'subjects; `scripts/conformance.sh "proxy nftables"` records one and keeps what was recorded of the others.',
    "",
    "## Programs",
    "",
    "| Subject | Program | Kernel | nft | iptables | Runs | Passed | Duration |",
    "|---|---|---|---|---|---|---|---|",
    ...programs,
    "",
    "kube-proxy is fed by a kube-apiserver of its own version, this proxy by a directory of manifests. Mode ipvs " +
    "runs in an emulated machine (`scripts/vm.sh`), which takes its time. kube-proxy's own mode ipvs is not recorded. " +
    "In mode ebpf connections of this node are balanced at their sockets: where a scenario has the node's address as " +
    "source, pods of this node are seen with their own, and where it follows a flow of theirs whose socket the proxy " +
    "ended with its endpoint, it follows the next socket.",
    "",
    "## Scenarios",
    "",
    row(["Scenario", ...subjects]),
    row(["---", ...subjects.map(() => "---")]),
    ...scenarios.map((scenario) =>
      row([scenarioCell(scenario.file, scenario.name), ...subjects.map((s) => cell(scenario, s))])
    ),
    "",
    "## Differences",
    "",
    "| | Scenario | Subject | What it does instead | Why that is not what ought to happen |",
    "|---|---|---|---|---|",
    ...known.map(({ scenario, subject, instead, why }, i) =>
      row([`<a id="d${i + 1}"></a>${i + 1}`, scenario, subject, instead, why])
    ),
    "",
  ].join("\n");
}

/** What the document has at the beginning of the line of a scenario. */
export function scenarioCell(file: string, name: string): string {
  return `[${file}](../tests/conformance/scenarios/${file}.yaml): ${name}`;
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
}

if (import.meta.main) {
  const scenarios = readScenarios();
  const recordings = await Promise.all(subjects.map(readRecording));
  const wrong = problems(scenarios, recordings, differences);
  if (wrong.length > 0) {
    console.error(wrong.join("\n"));
    Deno.exit(1);
  }
  await Deno.writeTextFile(documentFile, render(scenarios, recordings, differences));
}
