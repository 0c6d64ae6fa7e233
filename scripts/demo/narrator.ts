import { isAnswered, type Outcome } from "../../tests/lab/agent.ts";

/** Width of the column that names a connection. */
const WIDTH = 44;

/** Prints what happens, and counts checks and failed checks. */
export class Narrator {
  #checks = 0;
  #failures = 0;

  heading(text: string): void {
    console.log(`\n${paint(1, text)}`);
  }

  say(text: string): void {
    console.log(text.split("\n").map((line) => `  ${line}`).join("\n"));
  }

  check(isTrue: boolean, text: string): void {
    this.#checks++;
    if (!isTrue) this.#failures++;
    console.log(`  ${isTrue ? paint(32, "✓") : paint(31, "✗ FAILED:")} ${text}`);
  }

  /** Checks that exactly these pods answered, and that they saw the address of `source` as the client's. */
  checkSpread(
    connection: string,
    outcomes: readonly Outcome[],
    pods: readonly string[],
    source?: Source,
  ): void {
    const answers = outcomes.filter(isAnswered);
    const isExact = answers.length === outcomes.length &&
      pods.every((pod) => answers.some((answer) => answer.pod === pod)) &&
      answers.every(({ pod }) => pods.includes(pod));
    const isSeen = !source || answers.every((answer) => source.is(answer.source));
    this.check(
      isExact && isSeen,
      `${connection.padEnd(WIDTH)} ${spread(outcomes)}${source ? `  pods see the ${source.name}` : ""}`,
    );
  }

  /** Checks that every connection failed, and in this way. */
  checkNone(connection: string, outcomes: readonly Outcome[], outcome: "refused" | "timeout"): void {
    const asExpected = outcomes.every((seen) => !isAnswered(seen) && seen.outcome === outcome);
    this.check(asExpected, `${connection.padEnd(WIDTH)} ${spread(outcomes)}`);
  }

  /** Prints the result. Returns the exit code: 0 if all checks passed, else 1. */
  end(): number {
    this.heading(
      this.#failures === 0
        ? `All ${this.#checks} checks passed.`
        : `${this.#failures} of ${this.#checks} checks failed.`,
    );
    return this.#failures === 0 ? 0 : 1;
  }
}

/** Client address that pods are expected to see. */
export interface Source {
  readonly name: string;
  is(address: string): boolean;
}

const failures: Readonly<Record<string, string>> = { timeout: "no answer", refused: "rejected" };

/** Renders how often each pod answered, one block per twentieth: "pod-a ████████████ 36  pod-b ████████ 24". */
function spread(outcomes: readonly Outcome[]): string {
  const name = (outcome: Outcome) =>
    isAnswered(outcome) ? outcome.pod : failures[outcome.outcome] ?? outcome.outcome;
  const names = [...new Set(outcomes.map(name))].sort();
  return names.map((each) => {
    const count = outcomes.filter((outcome) => name(outcome) === each).length;
    return `${each} ${"█".repeat(Math.max(1, Math.round(count / outcomes.length * 20)))} ${count}`;
  }).join("  ");
}

function paint(color: number, text: string): string {
  return Deno.stdout.isTerminal() && !Deno.noColor ? `\x1b[${color}m${text}\x1b[0m` : text;
}
