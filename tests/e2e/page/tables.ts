/**
 * The text files beside scripts/cluster.sh that say what scripts/e2e.sh runs: lines of columns that two or more
 * spaces separate, and comments.
 */

/** A named run, a line of scripts/cluster/e2e-variants.txt. */
export interface Variant {
  readonly name: string;
  readonly nodes: string;
  readonly families: string;
  /** Regular expression for the names of the tests that it runs. */
  readonly focus: string;
  /** Regular expression for those of them that other runs cover; `-` for none. */
  readonly skip: string;
  readonly purpose: string;
}

/** Tests that no run contains, a line of scripts/cluster/e2e-skip.txt. */
export interface SkipRule {
  readonly test: string;
  readonly reason: string;
}

/** Why a test fails, a line of scripts/cluster/e2e-explanations.txt. */
export interface Explanation {
  /** Names of subjects, or `*`. */
  readonly subjects: readonly string[];
  /** Names of variants, or `*`. */
  readonly variants: readonly string[];
  readonly test: RegExp;
  readonly reason: string;
}

/** @throws if a line has another number of columns. */
export function readVariants(text: string): readonly Variant[] {
  return rows(text, 6).map(([name = "", nodes = "", families = "", focus = "", skip = "", purpose = ""]) => ({
    name,
    nodes,
    families,
    focus,
    skip,
    purpose,
  }));
}

/** @throws if a line has another number of columns. */
export function readSkipRules(text: string): readonly SkipRule[] {
  return rows(text, 2).map(([test = "", reason = ""]) => ({ test, reason }));
}

/** @throws if a line has another number of columns. */
export function readExplanations(text: string): readonly Explanation[] {
  return rows(text, 4).map(([subjects = "", variants = "", test = "", reason = ""]) => ({
    subjects: subjects.split(","),
    variants: variants.split(","),
    test: new RegExp(test),
    reason,
  }));
}

function rows(text: string, columns: number): string[][] {
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#")).map((line) => {
    const cells = line.trim().split(/ {2,}/);
    if (cells.length !== columns) {
      throw new Error(
        `"${line}" has ${cells.length} columns: must be ${columns}, separated by two spaces or more`,
      );
    }
    return cells;
  });
}
