import type { Family } from "../../core/net/protocol.ts";
import { Lab } from "../lab/lab.ts";
import { slowness } from "../lab/pace.ts";
import { proxyBinary } from "../lab/proxy.ts";
import { differenceOf, isSubject } from "./page/differences.ts";
import { kubeProxy, KubeProxySubject } from "./subjects/kube_proxy_subject.ts";
import {
  readRecording,
  type RecordedRun,
  type Recording,
  recordingFile,
  versionsIn,
} from "./page/recording.ts";
import { runScenario } from "./runner/runner.ts";
import type { Scenario } from "./format/scenario.ts";
import { readScenarios } from "./format/scenario_files.ts";
import { ManifestSubject, type Subject } from "./subjects/subject.ts";

/**
 * Runs every scenario file, once per family, against the built proxy in one lab. PROXY_MODE selects the mode, and
 * SUBJECT=kube-proxy selects kube-proxy instead of this proxy. Scenarios with an entry in differences.ts are
 * skipped. If CONFORMANCE_RECORD is set, all scenarios run and the outcomes are written for docs/conformance.md.
 */
const mode = Deno.env.get("PROXY_MODE") ?? "nftables";
const isUpstream = Deno.env.get("SUBJECT") === "kube-proxy";
const subjectName = `${isUpstream ? "kube-proxy" : "proxy"} ${mode}`;
const isRecording = (Deno.env.get("CONFORMANCE_RECORD") ?? "") !== "";

let lab: Lab;
let subject: Subject;
const runs: RecordedRun[] = [];
let plannedRuns = 0;
const startedAt = performance.now();

Deno.test.beforeAll(async () => {
  lab = await Lab.create(mode === "ebpf");
  subject = isUpstream ? await KubeProxySubject.create(lab, mode) : new ManifestSubject(lab, mode);
});

Deno.test.afterAll(async () => {
  if (isRecording && lab) await record();
  await subject?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

// Sorted by flags, because scenarios with the same flags share one proxy process.
const scenarios = readScenarios()
  .filter(({ modes }) => modes.includes(mode))
  .toSorted((a, b) => a.flags.join().localeCompare(b.flags.join()));

for (const { file, ...scenario } of scenarios) {
  const isKnown = differenceOf(subjectName, file) !== undefined;
  for (const [label, families] of runsOf(scenario)) {
    plannedRuns++;
    Deno.test({
      name: `${subjectName}: ${scenario.name} (${label})`,
      ignore: isKnown && !isRecording,
      // The proxy and the agents keep running from one scenario to the next.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => {
        try {
          await withTimeout(runScenario(lab, subject, scenario, families));
          runs.push({ scenario: file, label });
        } catch (error) {
          runs.push({ scenario: file, label, complaint: firstLine(error) });
          if (!isKnown) throw error;
        }
      },
    });
  }
}

function runsOf({ families }: Scenario): readonly (readonly [string, readonly Family[]])[] {
  const v4 = ["IPv4", ["IPv4"]] as const;
  const v6 = ["IPv6", ["IPv6"]] as const;
  return { v4: [v4], v6: [v6], both: [v4, v6], dual: [["dual stack", ["IPv4", "IPv6"]] as const] }[families];
}

/** Fails after one minute, so that a scenario that hangs does not stop the whole run. */
async function withTimeout(work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("the scenario takes too long")), 60_000 * slowness);
  await Promise.race([work, promise]).finally(() => clearTimeout(timer));
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}

/** Writes the recording. If a filter left scenarios out, their previous outcomes are kept. */
async function record(): Promise<void> {
  if (!isSubject(subjectName)) throw new Error(`differences.ts has no subject ${subjectName}`);
  const before = runs.length < plannedRuns ? await readRecording(subjectName) : undefined;
  const isNew = ({ scenario }: RecordedRun) => runs.some((run) => run.scenario === scenario);
  const recording: Recording = {
    subject: subjectName,
    versions: await versionsIn(lab, isUpstream ? kubeProxy : proxyBinary),
    seconds: before?.seconds ?? Math.round((performance.now() - startedAt) / 1000),
    runs: [...before?.runs.filter((run) => !isNew(run)) ?? [], ...runs],
  };
  const file = recordingFile(subjectName);
  await Deno.mkdir(new URL(".", file), { recursive: true });
  await Deno.writeTextFile(file, JSON.stringify(recording, undefined, 1) + "\n");
}
