import type { Lab } from "../../lab/lab.ts";
import type { SubjectName } from "./differences.ts";

/** Outcomes of all scenarios for one subject; stored as one JSON file. */
export interface Recording {
  readonly subject: SubjectName;
  /** Versions of the program, the kernel and the tools. */
  readonly versions: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly runs: readonly RecordedRun[];
}

export interface RecordedRun {
  /** File name without `.yaml`. */
  readonly scenario: string;
  /** "IPv4", "IPv6" or "dual stack". */
  readonly label: string;
  /** First line of the failure; absent if the run passed. */
  readonly complaint?: string;
}

/** File in which `scripts/conformance.sh` keeps the recording of a subject. */
export function recordingFile(subject: SubjectName): URL {
  return new URL(`../../../dist/conformance/${subject.replaceAll(" ", "-")}.json`, import.meta.url);
}

/** @throws if the subject has not been recorded. */
export async function readRecording(subject: SubjectName): Promise<Recording> {
  const text = await Deno.readTextFile(recordingFile(subject)).catch(() => {
    throw new Error(`${subject} has not been recorded; run scripts/conformance.sh`);
  });
  const recording: Recording = JSON.parse(text);
  return recording;
}

/** Versions to record. @param program path of the subject; must support --version. */
export async function versionsIn(lab: Lab, program: string): Promise<Record<string, string>> {
  const line = async (...command: string[]) => (await lab.run("node", command)).stdout.split("\n")[0]!.trim();
  return {
    program: (await line(program, "--version")).replace(/^Kubernetes /, "kube-proxy "),
    kernel: await line("uname", "-r"),
    nft: (await line("nft", "--version")).split(" ")[1] ?? "",
    iptables: (await line("iptables", "--version")).replace(/^iptables /, ""),
  };
}
