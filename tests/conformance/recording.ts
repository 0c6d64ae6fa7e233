import type { Lab } from "../lab/lab.ts";
import type { SubjectName } from "./differences.ts";

/** What one subject did with all scenarios, as one file of JSON. */
export interface Recording {
  readonly subject: SubjectName;
  /** Of the program, and of what it runs on. */
  readonly versions: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly runs: readonly RecordedRun[];
}

export interface RecordedRun {
  /** File name without `.yaml`. */
  readonly scenario: string;
  /** "IPv4", "IPv6" or "dual stack". */
  readonly label: string;
  /** What was not as expected; none in a run that passed. */
  readonly complaint?: string;
}

/** Where `scripts/conformance.sh` keeps recordings. */
export function recordingFile(subject: SubjectName): URL {
  return new URL(`../../dist/conformance/${subject.replaceAll(" ", "-")}.json`, import.meta.url);
}

/** @throws when there is none */
export async function readRecording(subject: SubjectName): Promise<Recording> {
  const text = await Deno.readTextFile(recordingFile(subject)).catch(() => {
    throw new Error(`${subject} has not been recorded: run scripts/conformance.sh`);
  });
  const recording: Recording = JSON.parse(text);
  return recording;
}

/** `program` answers --version. */
export async function versionsIn(lab: Lab, program: string): Promise<Record<string, string>> {
  const line = async (...command: string[]) => (await lab.run("node", command)).stdout.split("\n")[0]!.trim();
  return {
    program: (await line(program, "--version")).replace(/^Kubernetes /, "kube-proxy "),
    kernel: await line("uname", "-r"),
    nft: (await line("nft", "--version")).split(" ")[1] ?? "",
    iptables: (await line("iptables", "--version")).replace(/^iptables /, ""),
  };
}
