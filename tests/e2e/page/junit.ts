/** Outcome of one test in a JUnit report that ginkgo has written. */
export interface TestResult {
  /** Name without the kind of its node and without "[sig-network]". */
  readonly name: string;
  /** `unfit`: the test itself found that it does not apply to this cluster. */
  readonly outcome: "passed" | "failed" | "unfit";
  /** First line of the failure, or the reason why it does not apply. */
  readonly message?: string;
}

/**
 * Reads the tests that were started. A report also lists all that were not selected; they are left out. A failed
 * preparation or clean-up of the suite counts as a failed test.
 */
export function readReport(xml: string): readonly TestResult[] {
  const results: TestResult[] = [];
  for (const { 1: tag = "", 2: body = "" } of xml.matchAll(TEST_CASE)) {
    const fullName = attribute(tag, "name");
    const status = attribute(tag, "status");
    const isTest = fullName.startsWith("[It] ");
    const name = fullName.replace(/^\[It\] /, "").replace(/^\[sig-network\] /, "");
    if (status === "skipped" || status === "pending") {
      // A test that was not selected has no reason.
      const message = attribute(/<skipped\b[^>]*>/.exec(body)?.[0] ?? "", "message").replace(
        /^skipped( - )?/,
        "",
      );
      if (isTest && message !== "") results.push({ name, outcome: "unfit", message });
    } else if (status !== "passed") {
      results.push({ name, outcome: "failed", message: firstLine(body) || status });
    } else if (isTest) {
      results.push({ name, outcome: "passed" });
    }
  }
  return results;
}

/** An element `testcase` without or with content. Ginkgo escapes ">" in attributes. */
const TEST_CASE = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function attribute(tag: string, name: string): string {
  return unescape(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? "");
}

function firstLine(body: string): string {
  const text = /<(?:failure|error)\b[^>]*>([\s\S]*?)<\/(?:failure|error)>/.exec(body)?.[1] ?? "";
  return unescape(text).trim().split("\n")[0] ?? "";
}

function unescape(text: string): string {
  return text.replaceAll(
    /&(?:#(\d+)|#x([\da-f]+)|(lt|gt|amp|quot|apos));/gi,
    (_, decimal?: string, hexadecimal?: string, name?: string) =>
      name !== undefined
        ? entities[name.toLowerCase()] ?? ""
        : String.fromCodePoint(decimal !== undefined ? Number(decimal) : parseInt(hexadecimal ?? "0", 16)),
  );
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
