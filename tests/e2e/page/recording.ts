import { readReport, type TestResult } from "./junit.ts";

/** Programs that the tests run against, in the order of the columns of docs/e2e.md. */
export const subjects = [
  "nftables",
  "kube-proxy nftables",
  "iptables",
  "kube-proxy iptables",
  "ipvs",
  "kube-proxy ipvs",
  "ebpf",
] as const;

/** One run of a variant against a subject, as scripts/e2e.sh has recorded it. */
export interface Recording extends Facts {
  readonly results: readonly TestResult[];
  /** Results of the tests that failed and were run once more, alone. */
  readonly repeated: readonly TestResult[];
}

/** Facts about a run; scripts/e2e.sh stores them as run.json. */
export interface Facts {
  readonly variant: string;
  readonly subject: string;
  /** Commit of the sources of the proxy, with "+" if they were changed since. */
  readonly commit: string;
  readonly kernel: string;
  readonly kubernetes: string;
  readonly containerd: string;
  readonly processes: string;
  readonly seconds: string;
}

const folder = new URL("../../../dist/e2e/runs/", import.meta.url);

/** Reads what was recorded of a variant; subjects that were not recorded are left out. */
export async function readRecordings(variant: string): Promise<readonly Recording[]> {
  const found = await Promise.all(subjects.map((subject) => readRecording(variant, subject)));
  return found.filter((recording) => recording !== undefined);
}

async function readRecording(variant: string, subject: string): Promise<Recording | undefined> {
  const here = new URL(`${variant}/${subject.replace(" ", "-")}/`, folder);
  const facts = await textOf(new URL("run.json", here));
  if (facts === undefined) return undefined;
  const parsed: Facts = JSON.parse(facts);
  return {
    ...parsed,
    results: readReport(await textOf(new URL("junit_01.xml", here)) ?? ""),
    repeated: readReport(await textOf(new URL("again/junit_01.xml", here)) ?? ""),
  };
}

async function textOf(file: URL): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
