import type { TestResult } from "./junit.ts";
import type { Recording } from "./recording.ts";
import type { Explanation } from "./tables.ts";

/** A test that failed in at least one recording of a variant. */
export interface Failure {
  readonly variant: string;
  readonly test: string;
  /** Subjects that fail it, also when it is repeated alone. */
  readonly fails: readonly string[];
  /** Subjects that pass it, at once or when repeated. */
  readonly passes: readonly string[];
  /** Explanations of the failures, without repetition. */
  readonly reasons: readonly string[];
  /** Failures without an explanation: subject and message. */
  readonly unexplained: readonly { readonly subject: string; readonly message: string }[];
}

/** A test that failed when it ran among others and passed when it was repeated alone. */
export interface RepeatedPass {
  readonly variant: string;
  readonly subject: string;
  readonly test: string;
  readonly message: string;
}

/** Tests that failed and did not pass when repeated. */
export function failed({ results, repeated }: Recording): readonly TestResult[] {
  const passedAlone = new Set(repeated.filter(({ outcome }) => outcome === "passed").map(({ name }) => name));
  return results.filter(({ name, outcome }) => outcome === "failed" && !passedAlone.has(name));
}

/** Tests that failed at first and passed when they were repeated alone. */
export function passedWhenRepeated(recording: Recording): readonly RepeatedPass[] {
  const remaining = new Set(failed(recording));
  const { variant, subject, results } = recording;
  return results.filter((result) => result.outcome === "failed" && !remaining.has(result))
    .map(({ name, message = "" }) => ({ variant, subject, test: name, message }));
}

/** Failures of one variant, by test. @param recordings all of the same variant. */
export function failures(
  recordings: readonly Recording[],
  explanations: readonly Explanation[],
): readonly Failure[] {
  const tests = new Set(recordings.flatMap((recording) => failed(recording).map(({ name }) => name)));
  return [...tests].sort().map((test) => {
    const failing = recordings.flatMap((recording) =>
      failed(recording).filter(({ name }) => name === test).map((result) => ({ recording, result }))
    );
    const explained = failing.map(({ recording, result }) => ({
      subject: recording.subject,
      message: result.message ?? "",
      reason: explanations.find((explanation) => explains(explanation, recording, test))?.reason,
    }));
    return {
      variant: recordings[0]?.variant ?? "",
      test,
      fails: explained.map(({ subject }) => subject),
      passes: recordings.filter(({ subject, results }) =>
        !explained.some((failure) => failure.subject === subject) &&
        results.some(({ name, outcome }) => name === test && outcome !== "unfit")
      ).map(({ subject }) => subject),
      reasons: [...new Set(explained.flatMap(({ reason }) => reason === undefined ? [] : [reason]))],
      unexplained: explained.filter(({ reason }) => reason === undefined)
        .map(({ subject, message }) => ({ subject, message })),
    };
  });
}

function explains(explanation: Explanation, recording: Recording, name: string): boolean {
  return applies(explanation, recording) && explanation.test.test(name);
}

/** Runs without tests, and failures without an explanation. */
export function unexplained(
  recordings: readonly Recording[],
  explanations: readonly Explanation[],
): readonly string[] {
  return [
    ...recordings.filter(({ results }) => results.length === 0)
      .map(({ variant, subject }) => `${variant}, ${subject}: the report has no tests; record it again`),
    ...groupBy(recordings, ({ variant }) => variant).flatMap(([, ofVariant]) =>
      failures(ofVariant, explanations).flatMap(({ variant, test, unexplained }) =>
        unexplained.map(({ subject, message }) =>
          `${variant}, ${subject}: unexplained failure of "${test}": ${message}`
        )
      )
    ),
  ];
}

/**
 * Reasons why the page must not be published: what `unexplained` finds, explanations without a failure, and recordings
 * of several commits or of uncommitted changes.
 */
export function problems(
  recordings: readonly Recording[],
  explanations: readonly Explanation[],
): readonly string[] {
  const ours = recordings.filter(({ subject }) => !subject.startsWith("kube-proxy"));
  const commits = [...new Set(ours.map(({ commit }) => commit))];
  return [
    ...unexplained(recordings, explanations),
    ...explanations.filter((explanation) =>
      recordings.some((recording) => applies(explanation, recording)) &&
      !recordings.some((recording) =>
        recording.results.some(({ name, outcome }) =>
          outcome === "failed" && explains(explanation, recording, name)
        )
      )
    ).map(({ test }) =>
      `e2e-explanations.txt explains failures of /${test.source}/, and no such test failed`
    ),
    ...(commits.length > 1
      ? [`the recordings are of several commits: ${commits.join(", ")}; record all of one`]
      : []),
    ...commits.filter((commit) => commit.endsWith("+"))
      .map((commit) =>
        `the recordings are of uncommitted changes to ${commit.slice(0, -1)}; commit them first`
      ),
  ];
}

/** Whether an explanation is about this recording. */
function applies({ subjects, variants }: Explanation, { subject, variant }: Recording): boolean {
  return (subjects.includes("*") || subjects.includes(subject)) &&
    (variants.includes("*") || variants.includes(variant));
}

/** Groups values by a key, in the order in which the keys appear. */
export function groupBy<T>(
  values: readonly T[],
  keyOf: (value: T) => string,
): readonly [string, readonly T[]][] {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(keyOf(value));
    if (group === undefined) groups.set(keyOf(value), [value]);
    else group.push(value);
  }
  return [...groups];
}
