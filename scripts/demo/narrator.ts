import { isAnswered, type Outcome } from "../../tests/lab/agent.ts";

/** Tells what happens, and keeps count of what did not happen as it should. */
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
    console.log(`  ${isTrue ? paint(32, "✓") : paint(31, "✗ NOT SO:")} ${text}`);
  }

  /** Exactly these pods answered, and saw this as their client's address. */
  checkSpread(what: string, outcomes: readonly Outcome[], pods: readonly string[], source?: Source): void {
    const answers = outcomes.filter(isAnswered);
    const isExact = answers.length === outcomes.length &&
      pods.every((pod) => answers.some((answer) => answer.pod === pod)) &&
      answers.every(({ pod }) => pods.includes(pod));
    const isSeen = !source || answers.every((answer) => source.is(answer.source));
    this.check(
      isExact && isSeen,
      `${what.padEnd(42)} ${spread(outcomes)}${source ? `  pods see the ${source.words}` : ""}`,
    );
  }

  checkNone(what: string, outcomes: readonly Outcome[], outcome: "refused" | "timeout"): void {
    const asExpected = outcomes.every((seen) => !isAnswered(seen) && seen.outcome === outcome);
    this.check(asExpected, `${what.padEnd(42)} ${spread(outcomes)}`);
  }

  /** 0 when all was as it should be, 1 else: the exit code. */
  end(): number {
    this.heading(
      this.#failures === 0
        ? `All ${this.#checks} things shown are as they should be.`
        : `${this.#failures} of ${this.#checks} things shown are not as they should be.`,
    );
    return this.#failures === 0 ? 0 : 1;
  }
}

export interface Source {
  readonly words: string;
  is(address: string): boolean;
}

/** "pod-a ██████ 21  pod-b █████ 19": a block for every fortieth. */
function spread(outcomes: readonly Outcome[]): string {
  const name = (outcome: Outcome) =>
    isAnswered(outcome) ? outcome.pod : outcome.outcome === "timeout" ? "no answer" : outcome.outcome;
  const names = [...new Set(outcomes.map(name))].sort();
  return names.map((each) => {
    const count = outcomes.filter((outcome) => name(outcome) === each).length;
    return `${each} ${"█".repeat(Math.max(1, Math.round(count / outcomes.length * 20)))} ${count}`;
  }).join("  ");
}

function paint(color: number, text: string): string {
  return Deno.stdout.isTerminal() && !Deno.noColor ? `\x1b[${color}m${text}\x1b[0m` : text;
}
